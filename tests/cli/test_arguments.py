"""Spelling of flags, switches, lists and limits."""

import pytest

from mai_jax.cli import config_argument
from mai_jax.cli.arguments import Parser, Switch, add_mask_means, comma_list, integer
from mai_jax.errors import InputError


@pytest.fixture
def parser():
    parser = Parser(prog="mai test")
    config_argument.add_config(parser)
    parser.add_argument("--fid-weights", help="a file; no default")
    parser.add_argument("--report", action=Switch, help="a page")
    parser.add_argument("--largest-batch", action=Switch, default=True, help="more")
    parser.add_argument("--against", type=comma_list, default=[], help="folders")
    parser.add_argument("--dilate", type=integer(0, 9), default=0, help="pixels")
    add_mask_means(parser, "white")
    return parser


@pytest.mark.parametrize("argument", ["--fid-weights=a_b-c", "--fid_weights=a_b-c"])
def test_hyphens_and_underscores_in_names_are_the_same(parser, argument):
    assert parser.parse([argument]).fid_weights == "a_b-c"
    assert parser.parse(argument.split("=")).fid_weights == "a_b-c"


@pytest.mark.parametrize(("arguments", "report", "largest_batch"), [
    ([], False, True), (["--report"], True, True), (["--report", "--noreport"], False, True),
    (["--report", "--no-report"], False, True), (["--report=true", "--largest-batch=False"], True, False),
    (["--nolargest_batch"], False, False), (["--no-largest-batch"], False, False),
    (["--no_largest_batch", "--largest_batch"], False, True), (["--noreport=false"], True, True),
])
def test_switches(parser, arguments, report, largest_batch):
    given = parser.parse(arguments)
    assert (given.report, given.largest_batch) == (report, largest_batch)


@pytest.mark.parametrize(("text", "parts"), [("a", ["a"]), ("a,b", ["a", "b"]), ("a, b", ["a", "b"]), ("", [])])
def test_lists(parser, text, parts):
    assert parser.parse([f"--against={text}"]).against == parts


@pytest.mark.parametrize("word", ["hole", "valid", "known"])
def test_what_white_means(parser, word):
    for flag in ("--mask-means", "--mask_means"):
        assert parser.parse([f"{flag}={word}"]).mask_means == word


@pytest.mark.parametrize(("arguments", "overrides"), [
    (["--config.seed=3", "--config.data.train=a=b"], ["--config.seed=3", "--config.data.train=a=b"]),
    (["--config.seed", "3", "--report"], ["--config.seed=3"]),
    (["--config.remat", "--report"], ["--config.remat"]),
    (["--config.remat"], ["--config.remat"]),
])  # fmt: skip
def test_overrides_keep_their_order(parser, arguments, overrides):
    assert parser.parse(["--config=quickstart", *arguments]).overrides == overrides


@pytest.mark.parametrize(("arguments", "message"), [
    (["--reprot"], "unknown flag --reprot; did you mean --report?; see mai test --help"),
    (["--zzz=1"], "unknown flag --zzz=1; see"),
    (["photo.png"], "unexpected argument 'photo.png'; every setting is a flag"),
    (["--rep"], "unknown flag --rep"),
    (["--report=maybe"], "maybe"),
    (["--dilate=-1"], "--dilate: -1: must be at least 0"),
    (["--dilate=10"], "--dilate: 10: must be at most 9"),
    (["--dilate=x"], "--dilate: invalid int value: 'x'"),
    (["--mask_means=white"], "--mask-means: invalid choice: 'white'"),
    (["--fid-weights"], "--fid-weights: expected one argument"),
])
def test_what_cannot_be_used_is_named(parser, arguments, message):
    with pytest.raises(InputError) as error:
        parser.parse(arguments)
    assert message in str(error.value)


@pytest.fixture
def repair():
    parser = Parser(prog="mai test", description="Repair.\n\n    mai test --model=M --image=I\n    mai test --more")
    for flag in ("--model", "--image", "--output"):
        parser.add_argument(flag, required=True, help="a value")
    parser.add_argument("--mask", default="alpha", help="a file")
    parser.positional = ("--image", "--mask", "--output")
    return parser


PATTERN = "; put a pattern in quotes, as in '*.jpg', or name its folder; see mai test --help"


@pytest.mark.parametrize(("arguments", "message"), [
    ("", "the following arguments are required: --model, --image, --output; for example: mai test --model=M --image=I; "
         "see mai test --help"),
    ("--model=m --image=a", "the following arguments are required: --output; for example: mai test --model=M "
                            "--image=I; see mai test --help"),
    ("a.jpg", "unexpected argument 'a.jpg'; every setting is a flag: --image=a.jpg; see mai test --help"),
    ("a.jpg m.png", "unexpected argument 'a.jpg'; every setting is a flag: --image=a.jpg --mask=m.png; see mai test "
                    "--help"),
    ("a m o --model=x", "unexpected argument 'a'; every setting is a flag: --image=a --mask=m --output=o; see mai test "
                        "--help"),
    ("a b c d", "unexpected argument 'a'; every setting is a flag: --name=value; see mai test --help"),
    ("--image=a m", f"unexpected argument 'm'; every setting is a flag: --mask=m{PATTERN}"),
    ("--image a b c d", f"unexpected argument 'b'; every setting is a flag: --name=value{PATTERN}"),
    ("--image a b c --mask=m --output=o", f"unexpected argument 'b'; every setting is a flag: --name=value{PATTERN}"),
    ("--imgae=a b", "unknown flag --imgae=a; did you mean --image?; see mai test --help"),
])
def test_a_first_try_gets_a_line_that_helps(repair, arguments, message):
    with pytest.raises(InputError) as error:
        repair.parse(arguments.split())
    assert str(error.value) == message
    assert repair.parse(["--model=m", "--image=i", "--output=o"]).mask == "alpha"
    assert "(required)" in repair.format_help()


def test_help_says_what_is_required(repair, capsys):
    with pytest.raises(SystemExit) as ended:
        repair.parse(["--help"])
    assert ended.value.code == 0 and capsys.readouterr().out.count("(required)") == 3
