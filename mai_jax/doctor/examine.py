"""The whole report: all sections, in order."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from mai_jax.config import Config
from mai_jax.data import mask_files, sources, tfds_source
from mai_jax.data.hole_sampler import DRAWN, make_hole_sampler
from mai_jax.doctor import environment, forecast, holes, photographs
from mai_jax.doctor.report import Finding, Section, quiet, summary
from mai_jax.errors import InputError
from mai_jax.training import trainer
from mai_jax.training.continuation import NO_CHANGES, StartOptions
from mai_jax.training.train_step import data_mesh

PARTS: tuple[sources.Part, ...] = ("train", "test")


def examine(config: Config, workdir: Path, steps: int, options: StartOptions = NO_CHANGES) -> bool:
    """Print the report. Return whether it has no errors. Raises InputError for an unusable config.

    `steps` is the length of the dry run; `options` allows changes of the config of an existing run.
    """
    trainer.check(config, data_mesh())
    return _print(_sections(config, workdir, steps, options))


def examine_environment() -> bool:
    """Print the section on the installation alone. Return whether it has no errors."""
    return _print([environment.section()])


def _print(sections: Iterable[Section]) -> bool:
    findings: list[Finding] = []
    for section in sections:
        findings += section.findings
        print(f"{section}\n", flush=True)
    print(summary(findings))
    return all(finding.severity != "error" for finding in findings)


def _sections(config: Config, workdir: Path, steps: int, options: StartOptions) -> Iterator[Section]:
    yield environment.section()
    yield forecast.disk(config, workdir)
    missing = next((name for name in (config.data.train, config.data.test) if not _is_available(name)), None)
    if missing:
        yield Section("photographs", [], [Finding("warning", f"{missing} is not on this machine yet: not examined",
                                                  "training downloads it first; memory and time are not forecast")])
    else:
        source = {part: sources.open_source(config.data, part) for part in PARTS}
        yield from _photographs(source, config)
    for part in PARTS:
        if (folder := getattr(config.holes, f"{part}_masks")) != DRAWN:
            yield holes.masks_section(folder, part, config)
    try:
        with quiet(mask_files):  # the section of the masks has the same warnings, with file names
            hole_sampler = make_hole_sampler(config.holes.train_masks, config.holes, config.image_size)
    except InputError:  # the section of the masks has reported it
        return
    yield holes.ratios_section(hole_sampler, config)
    if steps and not missing:
        yield forecast.training(config, workdir, source["train"], hole_sampler, steps, options)


def _photographs(source: dict[sources.Part, sources.Source], config: Config) -> Iterator[Section]:
    surveys = {}
    for part in source:
        surveys[part] = photographs.survey(source[part], config.image_size)
        yield photographs.section(surveys[part], part, config)
    yield photographs.overlap(surveys["train"], surveys["test"])


def _is_available(name: str) -> bool:
    known = sources.TFDS_SETS.get(name, name if name.startswith(tfds_source.PREFIX) else "")
    return not known or tfds_source.is_prepared(known)
