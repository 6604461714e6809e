"""A synthetic set and its models as folders that the Hugging Face Hub takes: data, cards, Croissant metadata."""
