"""Which labels are doubtful, and what a person has made of them."""
