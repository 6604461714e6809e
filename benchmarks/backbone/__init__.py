"""Measurements of the embedded diffusion model, one script each.

    python -m benchmarks.backbone.instrument       the measuring detector, and what the autoencoder costs it
    python -m benchmarks.backbone.prompt_fidelity  do prompted things, numbers, places, light and weather appear?
    python -m benchmarks.backbone.fidelity         how close to renders, how varied, are any of them copies?
    python -m benchmarks.backbone.speed            seconds per image, size, quality against sampler steps
    python -m benchmarks.backbone.features         what a P-Decoder reads off the features

They share a cache (`--cache`) of drawn images, the detector and trained decoders, so each is made once and an
interrupted run continues. Labels are used to measure, never to train the diffusion model.
"""
