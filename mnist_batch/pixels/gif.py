"""Lay the first frame of a GIF on its page, which is clear where the frame does not cover it, as browsers show it."""

from PIL import Image, ImageFile


def first_frame(image: ImageFile.ImageFile) -> Image.Image:
    """A GIF that Pillow has just opened, white around its first frame. Pillow gives that the first colour, be it black.

    If the frame has a clear colour, Pillow gives it that one.
    """
    frame = image.tile[0].extents
    if "transparency" in image.info or frame in (None, (0, 0, *image.size)):
        return image
    shown = image.convert("L" if image.mode == "L" else "RGB")
    page = Image.new(shown.mode, image.size, "white")
    page.paste(shown.crop(frame), frame)
    page.info = shown.info  # which may say how it is turned
    return page
