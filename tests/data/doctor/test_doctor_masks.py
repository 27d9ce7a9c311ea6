"""Mask folders: polarity, sizes, greys, and what is left out; the histogram of the holes that training draws."""

import numpy as np
import pytest
from PIL import Image

from mai_jax.config import Config, Holes
from mai_jax.data import holes
from mai_jax.data.doctor import masks, ratios


def save(path, share, size=(32, 32), grey=0):
    """A mask whose first rows are white, `share` of it, and of whose last row `grey` pixels are grey."""
    mask = np.zeros(size, np.uint8)
    mask[:round(share * size[0])] = 255
    mask[-1, :grey] = 100
    Image.fromarray(mask).save(path)


def report(folder, **settings):
    return masks.section(str(folder), "train", Config(image_size=32, holes=Holes(train=str(folder), **settings)))


def said(section):
    return [(finding.severity, finding.what) for finding in section.findings]


@pytest.fixture
def folder(tmp_path):
    for percent in (25, 30, 50):
        save(tmp_path / f"{percent}.png", percent / 100)
    return tmp_path


def test_clean_masks_give_no_finding(folder):
    section = report(folder)
    assert section.facts == ["3 files; sizes 32 x 32 (3); median hole 31%"] and not section.findings


def test_each_ailment_is_found_once_and_nothing_else(folder):
    save(folder / "a_all.png", 1)
    save(folder / "b_most.png", 0.75)
    save(folder / "c_wide.png", 0.25, (32, 64))
    save(folder / "d_grey.png", 0.25, grey=16)
    (folder / "e_text.png").write_text("no image")
    assert said(report(folder)) == [
        ("error", f"1 unusable: {folder / 'e_text.png'}: is not an image of a known format"),
        ("warning", "1 neither black nor white: d_grey.png (1.6%)"),
        ("warning", "1 not square: c_wide.png (64 x 32)"),
        ("warning", "1 nearly all hole: a_all.png (100.0%)"),
        ("warning", "2 left out: a_all.png (100.0%), b_most.png (75.0%)"),
    ]


def test_inverted_masks_are_suspected_and_the_flag_is_named(folder):
    section = report(folder, mask_means="known")
    assert section.findings[0].what == "half of them have more than 69% hole: inverted?"
    assert section.findings[0].meaning.endswith("--config.holes.mask_means=hole")
    assert said(section)[1:] == [("warning", "2 left out: 25.png (75.0%), 30.png (68.8%)")]


def test_what_training_refuses_is_an_error(folder, tmp_path):
    assert said(report(folder, min_ratio=0.55))[0] == ("error", "no mask has a share of hole in [0.55, 0.6]")
    [(severity, what)] = said(report(tmp_path / "gone"))
    assert severity == "error" and what.startswith("config.holes.train=") and "there is no such folder" in what


def test_histogram_of_drawn_holes_is_flat_and_missing_bins_are_told():
    config = Config(image_size=32, holes=Holes(min_ratio=0.25, max_ratio=0.4))
    section = ratios.section(holes.sampler("drawn", config.holes, 32), config)
    shares = {line.split()[0]: float(line.split()[1].strip("%")) for line in section.facts}
    assert list(shares) == ["(.01,.1]", "(.1,.2]", "(.2,.3]", "(.3,.4]", "(.4,.5]", "(.5,.6]", "other"]
    assert 23 < shares["(.2,.3]"] < 43 and shares["(.2,.3]"] + shares["(.3,.4]"] in (99, 100, 101)
    assert section.facts[2].count("#") == pytest.approx(0.4 * shares["(.2,.3]"], abs=1)
    assert said(section) == [("warning", "none in (.01,.1], (.1,.2], (.4,.5], (.5,.6]")]


def test_histogram_of_mask_files_holds_their_shares(folder):
    config = Config(image_size=32, holes=Holes(train=str(folder)))
    section = ratios.section(holes.sampler(str(folder), config.holes, 32), config)
    assert "25.0% to 50.0%" in section.title
    shares = [int(line.split()[1].strip("%")) for line in section.facts]
    assert 22 < shares[2] < 45 and 22 < shares[3] < 45 and 22 < shares[4] < 45 and sum(shares) in (99, 100, 101)
