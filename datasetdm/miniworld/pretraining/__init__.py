"""How the embedded world's own diffusion model and ResNet-18 were trained."""
