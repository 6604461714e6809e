"""Labels that a person has corrected: where they are kept, and how they take part in a training."""
