"""Classes of Fashion-MNIST, and parts of them, by name."""

from __future__ import annotations

from diffclaims.errors import InvalidInput

CLASS_NAMES = (
    "T-shirt",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Boot",
)


def parse_class(name: str) -> tuple[int, int, int]:
    """Return label, part and number of parts of a class name such as ``"Bag"`` or ``"Bag:1/2"``.

    Raises
    ------
    InvalidInput
        If there is no such class or part.
    """
    base, _, part = name.partition(":")
    fix = "write a class name, or for example Bag:1/2 for the first half of the class"
    if base not in CLASS_NAMES:
        raise InvalidInput.of("class", name, f"be one of {', '.join(CLASS_NAMES)}", fix)
    if not part:
        return CLASS_NAMES.index(base), 0, 1
    index, _, total = part.partition("/")
    if not (index.isdigit() and total.isdigit() and 1 <= int(index) <= int(total) <= 10):
        raise InvalidInput.of("class", name, "name a part i/m with 1 <= i <= m <= 10", fix)
    return CLASS_NAMES.index(base), int(index) - 1, int(total)
