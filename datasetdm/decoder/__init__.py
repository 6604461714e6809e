"""The P-Decoder: the only trained part, from diffusion features to annotations."""
