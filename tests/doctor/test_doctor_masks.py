"""Mask folders: polarity, sizes, grey pixels and skipped masks; the histogram of sampled hole ratios."""

import numpy as np
import pytest
from PIL import Image

from mai_jax.config import Config, Holes
from mai_jax.data.hole_sampler import make_hole_sampler
from mai_jax.doctor import holes


def save(path, share, size=(32, 32), grey=0):
    """Save a mask with a share `share` of white rows at the top and `grey` grey pixels in the last row."""
    mask = np.zeros(size, np.uint8)
    mask[:round(share * size[0])] = 255
    mask[-1, :grey] = 100
    Image.fromarray(mask).save(path)


def report(folder, **settings):
    config = Config(image_size=32, holes=Holes(train_masks=str(folder), **settings))
    return holes.masks_section(str(folder), "train", config)


def messages(section):
    return [(finding.severity, finding.message) for finding in section.findings]


@pytest.fixture
def folder(tmp_path):
    for percent in (25, 30, 50):
        save(tmp_path / f"{percent}.png", percent / 100)
    return tmp_path


def test_clean_masks_give_no_finding(folder):
    section = report(folder)
    assert section.facts == ["3 files; sizes 32 x 32 (3); median hole 31%", "white is the hole (in 3 of 3 masks)"]
    assert not section.findings


def test_each_issue_is_found_once_and_nothing_else(folder):
    save(folder / "a_all.png", 1)
    save(folder / "b_most.png", 0.75)
    save(folder / "c_wide.png", 0.25, (32, 64))
    save(folder / "d_grey.png", 0.25, grey=16)
    (folder / "e_text.png").write_text("no image")
    assert messages(report(folder)) == [
        ("error", f"1 unusable: {folder / 'e_text.png'}: is not an image of a known format"),
        ("warning", "1 neither black nor white: d_grey.png (1.6%)"),
        ("warning", "1 not square: c_wide.png (64 x 32)"),
        ("warning", "1 nearly all hole: a_all.png (100.0%)"),
        ("warning", "2 skipped: a_all.png (100.0%), b_most.png (75.0%)"),
    ]


@pytest.mark.parametrize("mask_means", ["valid", "known"])
def test_inverted_masks_are_suspected_and_the_flag_is_named(folder, mask_means):
    section = report(folder, mask_means=mask_means)
    assert section.findings[0].message == "half of them have more than 69% hole: inverted?"
    assert section.findings[0].consequence.endswith("--config.holes.mask_means=hole")
    assert messages(section)[1:] == [("warning", "2 skipped: 25.png (75.0%), 30.png (68.8%)")]


def test_unusable_mask_folder_is_an_error(folder, tmp_path):
    assert messages(report(folder, min_ratio=0.55))[0] == ("error", "no mask has a hole ratio in [0.55, 0.6]")
    [(severity, message)] = messages(report(tmp_path / "gone"))
    assert severity == "error" and message.startswith("config.holes.train_masks=")
    assert "there is no such folder" in message


def test_histogram_of_drawn_holes_is_flat_and_empty_bins_are_reported():
    config = Config(image_size=32, holes=Holes(min_ratio=0.25, max_ratio=0.4))
    section = holes.ratios_section(make_hole_sampler("drawn", config.holes, 32), config)
    shares = {line.split()[0]: float(line.split()[1].strip("%")) for line in section.facts}
    assert list(shares) == ["(.01,.1]", "(.1,.2]", "(.2,.3]", "(.3,.4]", "(.4,.5]", "(.5,.6]", "other"]
    assert 23 < shares["(.2,.3]"] < 43 and shares["(.2,.3]"] + shares["(.3,.4]"] in (99, 100, 101)
    assert section.facts[2].count("#") == pytest.approx(0.4 * shares["(.2,.3]"], abs=1)
    assert messages(section) == [("warning", "none in (.01,.1], (.1,.2], (.4,.5], (.5,.6]")]


def test_histogram_of_mask_files_has_their_ratios(folder):
    config = Config(image_size=32, holes=Holes(train_masks=str(folder)))
    section = holes.ratios_section(make_hole_sampler(str(folder), config.holes, 32), config)
    assert "25.0% to 50.0%" in section.title
    shares = [int(line.split()[1].strip("%")) for line in section.facts]
    assert 22 < shares[2] < 45 and 22 < shares[3] < 45 and 22 < shares[4] < 45 and sum(shares) in (99, 100, 101)
