"""Every kind of two-valued mask is understood in every mode and format; what is ambiguous is refused."""

import io

import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs

from mai_jax.data import mask_reader
from mai_jax.errors import InputError

HOLE = np.zeros((30, 40), bool)
HOLE[5:17, 8:30] = True
PHOTO = photographs.astronaut()[40:70, 180:220]
LOSSLESS = {
    "1": ("png", "tiff", "bmp", "gif", "ppm"), "L": ("png", "tiff", "bmp", "gif", "ppm", "webp", "tga", "jp2"),
    "RGB": ("png", "tiff", "bmp", "ppm", "webp", "tga", "jp2"), "P": ("png", "tiff", "bmp", "gif"),
    "RGBA": ("png", "tiff", "webp", "tga"), "LA": ("png", "tiff"), "I;16": ("png", "tiff"), "CMYK": ("tiff",),
    "I": ("tiff",), "F": ("tiff",),
}  # fmt: skip


def encoded(image, form="png", **options):
    file = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    names = {"jp2": "JPEG2000", "jpg": "JPEG", "tga": "TGA"}
    image.save(file, names.get(form, form), **({"lossless": True, "exact": True} if form == "webp" else {}) | options)
    return file.getvalue()


def of_two(marked, ground, hole=HOLE):
    """Return an array with the value `marked` in the hole and `ground` elsewhere."""
    marked, ground = np.asarray(marked, np.uint8), np.asarray(ground, np.uint8)
    return np.where(hole[..., None], marked, ground) if marked.ndim else np.where(hole, marked, ground)


def palette(indices, colours):
    image = Image.fromarray(np.asarray(indices, np.uint8), "L").convert("P")
    image.putdata(np.asarray(indices).ravel().tolist())
    image.putpalette(np.asarray(colours, np.uint8).ravel().tobytes())
    return image


def expect(image, words, form="png", mask_means="hole", **options):
    mask = mask_reader.read(encoded(image, form, **options), "m", mask_means)
    np.testing.assert_array_equal(mask.hole, HOLE if mask_means == "hole" else ~HOLE)
    assert words in mask.reading and mask.reading.endswith("the hole" if mask_means == "hole" else "the part to keep")
    return mask


@pytest.mark.parametrize("mask_means", ["hole", "valid", "known"])
@pytest.mark.parametrize(("mode", "form"), [(mode, form) for mode, forms in LOSSLESS.items() for form in forms])
def test_black_and_white_in_every_mode_and_format(mode, form, mask_means):
    plain = of_two(255, 0)
    image = {"I;16": plain.astype(np.uint16) * 257, "I": plain.astype(np.int32), "F": plain / np.float32(255)}.get(mode)
    image = Image.fromarray(plain).convert(mode) if image is None else image
    mask = expect(image, "" if mode in "IF" else "white is", form, mask_means)
    assert mask.unclear == 0


DEPTHS = {"L": np.uint8, "I;16": np.uint16, "I": np.int32, "F": np.float32}


@pytest.mark.parametrize(("bright", "dark"), [(1, 0), (2, 1), (128, 127), (254, 200), (60, 0), (255, 254)])
@pytest.mark.parametrize("mode", [*DEPTHS, "RGB", "LA", "P"])
def test_of_two_greys_the_brighter_is_white(mode, bright, dark):
    values = of_two(bright, dark)
    form = "tiff" if mode in ("I", "F") else "png"
    image = Image.fromarray(values.astype(DEPTHS[mode]) if mode in DEPTHS else values)
    expect(image if mode in DEPTHS else image.convert(mode), f"two values ({bright}, not {dark})", form)


@pytest.mark.parametrize("ground", [(0, 0, 0), (255, 255, 255), (128, 128, 128)])
@pytest.mark.parametrize("colour", [(128, 0, 0), (255, 0, 0), (0, 255, 0), (30, 60, 250), (255, 255, 0)])
def test_a_colour_is_marked_against_a_grey(colour, ground):
    expect(of_two(colour, ground), f"the colour ({', '.join(map(str, colour))})")
    for indices in ((0, 1), (1, 0), (7, 3)):
        colours = np.zeros((8, 3), np.uint8)
        colours[list(indices)] = ground, colour
        expect(palette(np.where(HOLE, indices[1], indices[0]), colours), "the colour")


@pytest.mark.parametrize(("form", "quality"), [("jpg", 75), ("jpg", 95), ("webp", 80)])
@pytest.mark.parametrize(("colour", "ground"), [((255, 0, 0), (0, 0, 0)), ((255, 0, 0), (255, 255, 255)),
                                                ((0, 160, 255), (0, 0, 0)), ((255, 255, 255), (0, 0, 0))])
def test_compressed_and_smoothed_strokes_are_marked_up_to_their_rim(colour, ground, form, quality):
    hole = np.kron(HOLE, np.ones((8, 8), bool))
    strokes = Image.fromarray(of_two(colour, ground, hole)).resize((320, 240), Image.Resampling.LANCZOS)
    smooth = strokes.reduce(2).resize((320, 240), Image.Resampling.BILINEAR)
    mask = mask_reader.read(encoded(smooth, form, quality=quality, lossless=False), "m", "hole")
    assert np.count_nonzero(mask.hole ^ hole) < 0.01 * hole.size
    assert 0 < mask.unclear < 0.1


def layer(colour, alpha=255, ground=0):
    return np.dstack([of_two(colour, (0, 0, 0)), of_two(alpha, ground)])


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (255, 0, 0), (90, 90, 90)])
def test_strokes_on_transparency_are_marked(colour):
    for alpha, ground in ((255, 0), (100, 0), (255, 30)):
        expect(layer(colour, alpha, ground), f"the opaque part, of the colour ({', '.join(map(str, colour))}), is")
    soft = Image.fromarray(layer(colour)).resize((400, 300)).reduce(10)
    mask = mask_reader.read(encoded(soft), "m", "hole")
    assert np.count_nonzero(mask.hole ^ HOLE) < 0.06 * HOLE.size
    expect(palette(HOLE, [(9, 9, 9), colour]), "the opaque part", transparency=0)
    expect(palette(HOLE, [(9, 9, 9), colour]), "the opaque part", "gif", transparency=0)


@pytest.mark.parametrize("hidden", [None, (0, 0, 0), (255, 255, 255)])
def test_a_hole_erased_from_a_picture_is_marked(hidden):
    pixels = PHOTO.copy()
    if hidden is not None:
        pixels[HOLE] = hidden
    expect(np.dstack([pixels, of_two(0, 255)]), "the transparent part")
    expect(Image.fromarray(np.dstack([pixels, of_two(0, 255)])).convert("LA"), "the transparent part")


def test_white_on_black_with_a_transparent_rest_is_white():
    pixels = np.dstack([of_two((255, 255, 255), (0, 0, 0)), np.full(HOLE.shape, 255, np.uint8)])
    pixels[20:, :, 3] = 0
    expect(pixels, "white is")


@pytest.mark.parametrize("colours", [[(68, 1, 84), (253, 231, 37)], [(9, 9, 9), (9, 9, 9)]])
def test_the_higher_of_two_palette_indices_is_marked_if_the_colours_do_not_tell(colours):
    expect(palette(HOLE, colours), "palette index 1, not 0,")


def test_the_orientation_tag_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # stored rotated by 90 degrees
    expect(np.ascontiguousarray(np.rot90(of_two(255, 0))), "white", exif=exif)


def refused(image, words, form="png", **options):
    with pytest.raises(InputError) as error:
        mask_reader.read(encoded(image, form), "m.png", "hole", threshold_flag="--mask-threshold", **options)
    message = str(error.value)
    assert message.startswith("m.png: ") and words in message and "--mask-threshold=N" in message, message


def test_what_is_no_mask_is_refused():
    photo = photographs.astronaut()[::8, ::8]
    grey = np.asarray(Image.fromarray(photo).convert("L"))
    painted, sepia = photo.copy(), (grey[..., None] * np.array([1, 0.7, 0.4])).astype(np.uint8)
    painted[10:30, 10:30] = (255, 0, 0)
    for form in ("png", "jpg"):
        for image in (photo, grey, painted, sepia, PHOTO):
            refused(image, "is no mask: ", form)
    refused(of_two((255, 0, 0), (0, 255, 0)), "two colours, ")
    refused(np.full((30, 40), 90, np.uint8), "neither black nor white")
    refused(np.full((30, 40, 3), (200, 0, 0), np.uint8), "is no mask: it has many colours or greys, as a photograph")
    classes = of_two((128, 0, 0), (0, 0, 0))
    classes[20:, 20:] = (0, 128, 0)
    refused(classes, "many colours")
    refused(np.dstack([classes, (classes.any(-1) * 255).astype(np.uint8)]), "strokes of several colours")


def test_a_threshold_decides_what_is_ambiguous():
    classes = of_two((128, 0, 0), (0, 0, 0))
    classes[20:, 20:] = (0, 128, 0)
    mask = mask_reader.read(encoded(classes), "m", "hole", 1)
    np.testing.assert_array_equal(mask.hole, classes.any(-1))
    assert mask.reading == "brightness 1 and above is the hole"
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for threshold in (1, 100, 255):
        np.testing.assert_array_equal(mask_reader.read(encoded(grey), "m", "valid", threshold).hole, grey < threshold)
    deep = grey.astype(np.uint16) * 257
    np.testing.assert_array_equal(mask_reader.read(encoded(deep), "m", "hole", 100).hole, grey >= 100)
    shaded = np.dstack([np.full((16, 16, 3), 255, np.uint8), grey])
    np.testing.assert_array_equal(mask_reader.read(encoded(shaded), "m", "hole", 100).hole, grey >= 100)


@pytest.mark.parametrize(("image", "reading"), [
    (np.zeros((9, 9), np.uint8), "white is the hole, but no pixel is white (the brightest is 0 of"),
    (np.arange(9, dtype=np.uint8).repeat(9).reshape(9, 9), "no pixel is white (the brightest is 8 of 255)"),
    (np.zeros((9, 9, 4), np.uint8), "the opaque part is the hole, but no pixel is opaque"),
])
def test_nothing_marked_is_an_empty_hole_and_says_why(image, reading):
    mask = mask_reader.read(encoded(image), "m", "hole")
    assert not mask.hole.any() and reading in mask.reading
    assert mask_reader.read(encoded(image), "m", "valid").hole.all()


def test_all_white_is_all_hole():
    assert mask_reader.read(encoded(np.full((9, 9), 255, np.uint8)), "m", "hole").hole.all()


def test_grey_pixels_are_thresholded_at_one_half_and_counted():
    mask = of_two(255, 0)
    mask[:3] = 127
    mask[-3:] = 128
    read = mask_reader.read(encoded(mask), "m", "hole")
    np.testing.assert_array_equal(read.hole, mask >= 128)
    assert read.unclear == 0.2
    noise = Image.fromarray(of_two(255, 0) | np.eye(30, 40, dtype=np.uint8) * 255)
    assert mask_reader.read(encoded(noise, "jpg", quality=95), "m", "hole").unclear == 0


def test_unusable_files_are_named(tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    with pytest.raises(InputError, match=r"bad\.png: is not an image"):
        mask_reader.read_file(tmp_path / "bad.png", "hole")
    with pytest.raises(InputError, match=r"gone\.png: cannot be read \(No such file"):
        mask_reader.read_file(tmp_path / "gone.png", "hole")
    with pytest.raises(InputError, match=r"white.*hole or valid"):
        mask_reader.read(encoded(of_two(255, 0)), "m", "white")
    with pytest.raises(InputError, match=r"m: cannot be read as a mask \(pixels of 32 bits"):
        mask_reader.read(encoded(np.arange(12, dtype=np.int32).reshape(3, 4), "tiff"), "m", "hole")
    frames = [Image.fromarray(of_two(255, 0)), Image.fromarray(of_two(0, 255))]
    with pytest.raises(InputError, match="several frames"):
        mask_reader.read(encoded(frames[0], "gif", save_all=True, append_images=frames[1:]), "m", "hole")


def test_the_size_must_be_that_of_the_photograph():
    mask = mask_reader.read(encoded(of_two(255, 0)), "m", "hole")
    mask_reader.check_size(mask, "m", (30, 40))
    with pytest.raises(InputError, match=r"^m: the mask is 40 x 30 and its photograph 30 x 40 \(width x height\)"):
        mask_reader.check_size(mask, "m", (40, 30))
