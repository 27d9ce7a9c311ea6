"""Which photograph a mask file belongs to, by its name."""

import re
from collections.abc import Collection

# x_mask, x-mask and x_mask001 are masks of x, and so is mask_x in the same folder.
NAMES = (re.compile(r"(.+)[_-]mask[_-]?\d*", re.IGNORECASE), re.compile(r"((?:.*/)?)mask[_-](.+)", re.IGNORECASE))


def photograph_of(mask: str, photographs: Collection[str], *, is_photograph: bool = False) -> str | None:
    """Return the one of `photographs` to which `mask` belongs, or None. All are paths without ending.

    A mask belongs to the photograph of the same name, or of one of NAMES. With `is_photograph` the file is itself one
    of the photographs, so that the same name says nothing.
    """
    if is_photograph or mask not in photographs:
        for name in NAMES:
            if (match := name.fullmatch(mask)) and (photograph := "".join(match.groups())) in photographs:
                return photograph
        return None
    return mask
