"""All sections of the report, one after the other."""

from collections.abc import Iterator
from pathlib import Path

from mai_jax.config import Config
from mai_jax.data import hole_files, holes, sources, tfds_source
from mai_jax.data.doctor import forecast, masks, photographs, ratios
from mai_jax.data.doctor.quiet import quiet
from mai_jax.data.doctor.report import Finding, Section, verdict
from mai_jax.training import loop
from mai_jax.training.step import data_mesh
from mai_jax.types import InputError


def examine(config: Config, workdir: Path, steps: int) -> bool:
    """Prints the report; whether nothing in it would stop the training. Raises InputError for an unusable config."""
    loop.check(config, data_mesh())
    findings: list[Finding] = []
    for section in _sections(config, workdir, steps):
        findings += section.findings
        print(f"{section}\n", flush=True)
    print(verdict(findings))
    return all(finding.severity != "error" for finding in findings)


def _sections(config: Config, workdir: Path, steps: int) -> Iterator[Section]:
    yield forecast.disk(config, workdir)
    missing = next((name for name in (config.data.train, config.data.test) if not _is_here(name)), None)
    if missing:
        yield Section("photographs", [], [Finding("warning", f"{missing} is not on this machine yet: not looked at",
                                                  "training fetches it first; no forecast of memory and time either")])
    else:
        source = {part: sources.open_source(config.data, part) for part in ("train", "test")}
        yield from _photographs(source, config)
    for part in ("train", "test"):
        if (folder := getattr(config.holes, part)) != holes.DRAWN:
            yield masks.section(folder, part, config)
    try:
        with quiet(hole_files):  # what it warns of stands above, with the names of the files
            hiding = holes.sampler(config.holes.train, config.holes, config.image_size)
    except InputError:  # which the section of the masks has told
        return
    yield ratios.section(hiding, config)
    if steps and not missing:
        yield forecast.training(config, workdir, source["train"], hiding, steps)


def _photographs(source: dict[sources.Part, sources.Source], config: Config) -> Iterator[Section]:
    seen = {}
    for part in source:
        seen[part] = photographs.survey(source[part], config.image_size)
        yield photographs.section(seen[part], part, config)
    yield photographs.overlap(seen["train"], seen["test"])


def _is_here(name: str) -> bool:
    return name not in sources.TFDS_SETS or tfds_source.is_prepared(sources.TFDS_SETS[name])
