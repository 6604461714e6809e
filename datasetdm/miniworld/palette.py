"""Named colours, as captions call them, and the small arithmetic on colours that drawing needs."""

import numpy as np

Colour = tuple[float, float, float]

#: RGB in [0, 255] of every colour name a caption may use.
COLOURS: dict[str, Colour] = {
    "red": (206, 44, 40),
    "orange": (238, 132, 36),
    "yellow": (243, 205, 52),
    "green": (66, 158, 62),
    "blue": (46, 98, 200),
    "purple": (130, 70, 168),
    "pink": (240, 140, 178),
    "brown": (128, 80, 46),
    "black": (44, 44, 50),
    "white": (240, 240, 236),
    "gray": (146, 150, 156),
    "teal": (38, 158, 158),
}


def jitter(colour: Colour, rng: np.random.Generator, amount: float) -> Colour:
    """A neighbour of `colour`: brightness and hue moved by about `amount` (in units of 0-1 of full scale)."""
    gain = 1 + amount * rng.uniform(-1, 1)
    shift = 45 * amount * rng.uniform(-1, 1, 3)
    red, green, blue = np.clip(np.asarray(colour) * gain + shift, 12, 250)
    return float(red), float(green), float(blue)


def shade(colour: Colour, factor: float) -> Colour:
    """Darker for factor < 1, towards white for factor > 1."""
    if factor <= 1:
        return colour[0] * factor, colour[1] * factor, colour[2] * factor
    return mix(colour, (255.0, 255.0, 255.0), min(factor - 1, 1.0))


def mix(first: Colour, second: Colour, weight: float) -> Colour:
    """Linear blend, `weight` of `second`."""
    keep = 1 - weight
    return (
        first[0] * keep + second[0] * weight,
        first[1] * keep + second[1] * weight,
        first[2] * keep + second[2] * weight,
    )
