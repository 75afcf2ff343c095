"""A form opens with the pictures that its cells were drawn on, or is refused with a sentence that names the file."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnist_batch.errors import InputError
from mnist_batch.forms import opening
from mnist_batch.forms.form import Box, Digits, Field, Form, FormPage, as_json
from mnist_batch.forms.opening import open_form, open_forms
from tests.support.pictures import drawing, encoded

WIDTH, HEIGHT = 60, 80
PAGE = drawing(HEIGHT, WIDTH)
FORM = Form(
    "turnout", "2026", (FormPage("page-1.png", WIDTH, HEIGHT),), (Field("a", 0, (Box(1, 2, 9, 9),), Digits(1, 1)),)
)


def write(folder: Path, form: Form = FORM, page: bytes | None = None) -> Path:
    folder.mkdir(parents=True)
    (folder / "form.json").write_bytes(as_json(form))
    for each in form.pages:
        (folder / each.image).write_bytes(page or encoded(Image.fromarray(PAGE), "PNG"))
    return folder


def refusal(*folders: Path) -> str:
    with pytest.raises(InputError) as refused:
        open_forms([str(folder) for folder in folders])
    message = str(refused.value)
    assert message.startswith("--form ") or message.startswith("--form: ")
    return message


def test_a_form_opens_by_path_and_by_uri(tmp_path: Path) -> None:
    folder = write(tmp_path / "turnout")
    for location in (str(folder), f"{folder}/", f"fsspec+file://{folder}"):
        opened = open_form(location)
        assert opened.form == FORM
        assert np.array_equal(opened.pictures[0], PAGE)
        assert opened.pictures[0].dtype == np.uint8
        assert opened.digest == open_form(str(folder)).digest
        assert opened.location == location.rstrip("/")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "PPM", "WebP", "GIF"])
def test_the_picture_may_be_of_any_format_that_is_read(tmp_path: Path, kind: str) -> None:
    options = {"quality": 100, "lossless": True} if kind == "WebP" else {"quality": 95} if kind == "JPEG" else {}
    opened = open_form(str(write(tmp_path / "form", page=encoded(Image.fromarray(PAGE), kind, **options))))
    assert opened.pictures[0].shape == (HEIGHT, WIDTH)
    assert np.abs(opened.pictures[0].astype(int) - PAGE).max() <= (60 if kind == "JPEG" else 0)


def test_a_picture_with_two_inks_is_one_grey_picture(tmp_path: Path) -> None:
    from mnist_batch.pixels import colours

    colour = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    colour[10:20, 10:50] = (200, 30, 30)  # RGB: a red box
    colour[40:50, 10:50] = (0, 0, 0)
    assert colours.grey(np.ascontiguousarray(colour[:, :, ::-1])).ndim == 3
    opened = open_form(str(write(tmp_path / "form", page=encoded(Image.fromarray(colour), "PNG"))))
    assert opened.pictures[0].shape == (HEIGHT, WIDTH)
    assert opened.pictures[0][15, 30] < 150
    assert opened.pictures[0][45, 30] < 10


def test_the_digest_is_of_every_byte_of_the_form_and_its_pictures(tmp_path: Path) -> None:
    folder = write(tmp_path / "form")
    digests = [open_form(str(folder)).digest]
    (folder / "form.json").write_bytes(as_json(FORM) + b"\n")
    digests.append(open_form(str(folder)).digest)
    other = PAGE.copy()
    other[0, 0] ^= 1
    (folder / "page-1.png").write_bytes(encoded(Image.fromarray(other), "PNG"))
    digests.append(open_form(str(folder)).digest)
    assert len(set(digests)) == 3
    assert all(re.fullmatch("[0-9a-f]{32}", digest) for digest in digests)
    assert open_form(str(folder)).digest == digests[-1]
    assert open_form(str(folder.rename(tmp_path / "moved"))).digest == digests[-1]


def test_a_folder_of_forms_opens_all_of_them(tmp_path: Path) -> None:
    write(tmp_path / "forms" / "b", Form("b", None, FORM.pages, FORM.fields))
    write(tmp_path / "forms" / "a", Form("a", None, FORM.pages, FORM.fields))
    write(tmp_path / "one")
    (tmp_path / "forms" / ".git").mkdir()
    (tmp_path / "forms" / "README.md").write_text("Our forms.")
    forms = open_forms([str(tmp_path / "forms"), str(tmp_path / "one")])
    assert [each.form.name for each in forms] == ["a", "b", "turnout"]


def test_two_forms_of_one_name_have_different_versions(tmp_path: Path) -> None:
    write(tmp_path / "old", Form("turnout", "2025", FORM.pages, FORM.fields))
    write(tmp_path / "new")
    write(tmp_path / "copy")
    assert len(open_forms([str(tmp_path / "old"), str(tmp_path / "new")])) == 2
    message = refusal(tmp_path / "new", tmp_path / "copy")
    assert f"{tmp_path / 'new'} and {tmp_path / 'copy'} both have the name 'turnout' and version '2026'" in message


def test_a_picture_of_another_size_is_refused_with_both_sizes(tmp_path: Path) -> None:
    folder = write(tmp_path / "form", page=encoded(Image.fromarray(PAGE[:-1]), "PNG"))
    message = refusal(folder)
    assert message.startswith(f"--form {folder}/page-1.png: the picture has 60 x 79 pixels")
    assert "pages[0] of form.json says 60 x 80; restore the picture" in message


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (b"%PDF-1.7", "cannot be read: truncated or corrupt PDF"),
        (b"\x89PNG\r\n\x1a\n", "cannot be read: truncated or corrupt PNG"),
        (b"a text", "cannot be read: a text file"),
        (b"\0", "cannot be read: nothing but zero bytes"),
    ],
)
def test_a_picture_that_cannot_be_read_is_refused(tmp_path: Path, page: bytes, message: str) -> None:
    folder = write(tmp_path / "form", page=page)
    assert f"--form {folder}/page-1.png: the picture of pages[0] of form.json {message}" in refusal(folder)


def test_a_picture_with_several_pages_is_refused(tmp_path: Path) -> None:
    grey = Image.fromarray(PAGE)
    folder = write(tmp_path / "form", page=encoded(grey, "TIFF", save_all=True, append_images=[grey, grey, grey]))
    assert "the file has several pages; save each page as a picture of its own" in refusal(folder)


def test_a_picture_beyond_the_limits_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "form")
    monkeypatch.setattr(opening, "MAX_PIXELS", WIDTH * HEIGHT - 1)
    assert "more than 4,799 pixels a page" in refusal(folder)
    monkeypatch.setattr(opening, "MAX_BYTES", 20)
    assert "page-1.png: expected at most 20 bytes, got more" in refusal(folder)


def test_what_is_no_form_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path}/none: there is nothing; check the path" in refusal(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "expected form.json, or directories of forms, got neither" in refusal(tmp_path / "empty")
    (tmp_path / "file").touch()
    assert "expected the directory of a form, got a file" in refusal(tmp_path / "file")
    (tmp_path / "forms" / "a").mkdir(parents=True)
    assert f"{tmp_path}/forms/a/form.json: there is no such file" in refusal(tmp_path / "forms")


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "form")
    (folder / "page-1.png").unlink()
    assert f"--form {folder}/page-1.png: there is no such file" in refusal(folder)


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    folder = write(tmp_path / "form")
    (folder / "page-1.png").unlink()
    os.mkfifo(folder / "page-1.png")
    assert "page-1.png: expected a file, got a directory, pipe or device" in refusal(folder)


def test_a_mistake_in_form_json_names_the_flag_and_the_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "form")
    (folder / "form.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(InputError, match=re.escape(f"--with {folder}/form.json: 'name' is missing")):
        open_form(str(folder), "--with")


def test_the_digest_tells_where_a_file_ends() -> None:
    assert opening._digest([b"ab", b"c"]) != opening._digest([b"a", b"bc"])
