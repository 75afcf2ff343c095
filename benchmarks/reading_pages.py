"""How many pages a second one core reads from each kind of file: A4 at 200 dots per inch, from bytes to a grey page.

    python -m benchmarks.reading_pages

The pages are synthetic: print, boxes and writing on noisy paper. Seconds are CPU time of this process, in the fastest
of several passes. Nothing is normalised or classified.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO

import cv2
import numpy as np
from PIL import Image

from benchmarks.handwriting import Grey
from mnist_batch.reading import images

DOTS_PER_INCH = 200
HEIGHT, WIDTH = 2339, 1654


def page(seed: int) -> Grey:
    """A page of A4 in colour, uint8 (H, W, 3), red first: print, boxes and blue handwriting on noisy paper."""
    random = np.random.default_rng(seed)
    paper = np.full((HEIGHT, WIDTH, 3), 243, np.uint8)
    for row in range(12):
        top = 150 + row * 170
        cv2.putText(
            paper, f"{row + 1}. Number of ballots", (120, top + 60), cv2.FONT_HERSHEY_SIMPLEX, 1, (40, 40, 40), 2
        )
        for cell in range(8):
            left = 800 + cell * 80
            cv2.rectangle(paper, (left, top), (left + 80, top + 90), (90, 90, 90), 2)
            digit = str(random.integers(10))
            cv2.putText(paper, digit, (left + 15, top + 75), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 2, (30, 40, 120), 5)
    noise = random.normal(0, 3, paper.shape)
    return np.clip(paper + noise, 0, 255).astype(np.uint8)


def _saved(pictures: Sequence[Image.Image], kind: str, **options: object) -> bytes:
    content = BytesIO()
    more = {"save_all": True, "append_images": list(pictures[1:])} if len(pictures) > 1 else {}
    pictures[0].save(content, kind, **more, **options)
    return content.getvalue()


def files(count: int) -> Mapping[str, list[bytes]]:
    """The files of each kind that hold ``count`` pages."""
    colour = [Image.fromarray(page(seed)) for seed in range(count)]
    grey = [picture.convert("L") for picture in colour]
    bits = [picture.point([255 * (level > 160) for level in range(256)]).convert("1") for picture in grey]
    dots = {"resolution": DOTS_PER_INCH}
    return {
        "PNG, grey": [_saved([picture], "PNG") for picture in grey],
        "JPEG, grey": [_saved([picture], "JPEG", quality=80) for picture in grey],
        "JPEG, colour": [_saved([picture], "JPEG", quality=80) for picture in colour],
        "TIFF, 1 bit, Group 4": [_saved(bits, "TIFF", compression="group4")],
        "PDF of JPEG, grey": [_saved(grey, "PDF", quality=80, **dots)],
        "PDF of JPEG, colour": [_saved(colour, "PDF", quality=80, **dots)],
        "PDF, 1 bit, Group 4": [_saved(bits, "PDF", **dots)],
    }


def fastest(read: Callable[[], int], passes: int) -> float:
    """Pages a second of CPU time, in the fastest of several passes; ``read`` returns how many pages it read."""
    best = 0.0
    for _ in range(passes):
        started = time.process_time()
        pages = read()
        best = max(best, pages / (time.process_time() - started))
    return best


def main(argv: Sequence[str] | None = None) -> None:
    """Measure each kind and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pages", type=int, default=8, metavar="N")
    arguments.add_argument("--passes", type=int, default=5, metavar="N")
    given = arguments.parse_args(argv)
    print("| file | kB a page | pages a second |\n|---|---|---|")
    for kind, contents in files(given.pages).items():
        size = sum(map(len, contents)) / given.pages / 1000

        def read(contents: Sequence[bytes] = contents) -> int:
            return sum(1 for data in contents for _ in images.decode(data))

        print(f"| {kind} | {size:,.0f} | {fastest(read, given.passes):.1f} |")


if __name__ == "__main__":
    main()
