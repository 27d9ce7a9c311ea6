"""`mai evaluate` and `mai results`: one folder per evaluation, named by what differs, and their list."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mai_jax.cli import evaluate
from mai_jax.cli.main import main, parser_of


@pytest.mark.parametrize(("flags", "folder"), [
    ("--workdir=w", "w/evaluations/step7"),
    ("--workdir=w --data=a/new-faces/ --holes=b/manifest.jsonl --protocol=lama",
     "w/evaluations/step7-data_new_faces-holes_b-lama"),
    ("--workdir=w --holes=b/set2.jsonl --lpips --lpips-net=alex --classical --against=x/y,z --fid-weights=f",
     "w/evaluations/step7-holes_set2.jsonl-lpips_alex-fid-classical-against_y-against_z"),
    ("--model=lama --data=d", "runs/evaluation_p/step7-data_d"),
    ("--pred=p --truth=t --masks=../m --lpips", "runs/evaluation_p/t-m-lpips"),
    ("--pred=p --truth=t --masks=m --report", "runs/evaluation_p/t-m"),
])
def test_the_folder_is_named_by_the_flags_that_change_the_result(flags, folder):
    given = parser_of("evaluate").parse(flags.split())
    assert evaluate._folder(given, 7 if given.workdir else None, "p") == Path(folder)


def write_images(folder: Path, seed: int, values: int) -> None:
    """Write two images of noise; with `values` 2, masks whose upper half is white, the second of them all black."""
    folder.mkdir(parents=True)
    for i in range(2):
        pixels = np.random.default_rng(seed + i).integers(0, values, (16, 16, 3), np.uint8)
        if values == 2:
            pixels = np.uint8(255 * (1 - i)) * (np.arange(16)[:, None, None] < 8) * np.ones((1, 16, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")


def test_evaluations_do_not_replace_each_other_and_are_listed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for folder, seed, values in (("pred", 0, 256), ("truth", 2, 256), ("b/truth", 4, 256), ("masks", 0, 2)):
        write_images(tmp_path / folder, seed, values)

    def evaluate_files(*flags):
        assert main(["evaluate", "--pred=pred", "--masks=masks", *flags]) == 0, capsys.readouterr().err
        return {path.parent.name: path.read_bytes() for path in Path("runs/evaluation_pred").glob("*/result.json")}

    first = evaluate_files("--truth=truth")
    second = evaluate_files("--truth=b/truth")
    assert list(first) == ["truth-masks"] and first.items() < second.items()
    (other,) = second.keys() - first.keys()
    assert other == f"truth-masks-{json.loads(second[other])['pairs_sha256'][:8]}"
    third = evaluate_files("--truth=truth", "--protocol=lama", "--csv")
    assert third.keys() - second.keys() == {"truth-masks-lama"}
    assert evaluate_files("--truth=truth") == third

    lines = (tmp_path / "runs/evaluation_pred/truth-masks-lama/records.csv").read_text().splitlines()
    assert lines[0] == ("id,hole,pair,hole_ratio,hole_l1,hole_psnr,ssim,mean_colour.hole_l1,mean_colour.hole_psnr,"
                        "mean_colour.ssim") and len(lines) == 3
    assert lines[1].startswith("0,0,") and lines[1].split(",")[3] == "0.5"

    capsys.readouterr()
    assert main(["results", "runs"]) == 0
    head, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head[:6] == ["evaluation", "method", "step", "protocol", "pairs", "SSIM"]
    assert [row[0] for row in rows] == [f"evaluation_pred/{name}" for name in sorted(third)]
    assert [row[1:5] for row in rows] == [["pred", "-", protocol, "2"] for protocol in ("default", "default", "lama")]
    assert rows[2][6] == "-" and float(rows[0][6]) < 12  # PSNR, which LaMa's protocol lacks, in dB
    against = ["evaluate", "--pred=pred", "--masks=masks", "--truth=truth", "--name=again"]
    (tmp_path / "runs/evaluation_pred").rename("evaluations")
    assert main([*against, "--against=."]) == 1
    assert "holds several evaluations (truth-masks, " in capsys.readouterr().err
    for name in sorted(third)[1:]:
        (tmp_path / "evaluations" / name).rename(tmp_path / name)
    assert main([*against, "--against=."]) == 0
    assert main(["results", "masks"]) == 1 and "masks: holds no evaluation" in capsys.readouterr().err
