"""What all trainings have in common, whichever framework runs them."""

WARMUP = 0.05  # of the iterations; then a cosine takes the learning rate down to zero
WEIGHT_DECAY = 0.05
MAX_GRADIENT_NORM = 5.0
