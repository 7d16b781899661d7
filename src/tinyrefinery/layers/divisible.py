"""Numbers of channels that hardware likes."""


def divisible(channels: float, by: int = 8) -> int:
    """The multiple of `by` nearest to `channels`, at least `by`, and not below 90 % of `channels`.

    As MobileNet v2 and v3 round (TensorFlow's `make_divisible`).
    """
    nearest = max(by, int(channels + by / 2) // by * by)
    return nearest + by if nearest < 0.9 * channels else nearest
