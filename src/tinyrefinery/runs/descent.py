"""The longest line of networks that refined one another."""

from collections.abc import Mapping, Sequence


def longest_line(refined_by: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Names from a network that learned from given labels to its last descendant.

    Args:
        refined_by: for each network the names of its refiners, networks in the order of training;
            refiners that are no key (files from outside) are passed over.

    Returns:
        The longest line; of equally long ones that whose last network was trained first. Of several
        refiners the one with the longest line of its own counts. Empty without networks.
    """
    lines: dict[str, tuple[str, ...]] = {}
    for name, refiners in refined_by.items():
        before = [lines[each] for each in refiners if each in lines]
        lines[name] = (*max(before, key=len, default=()), name)
    return max(lines.values(), key=len, default=())
