"""The page: a photograph, a hole painted over it or taken from a mask file, the result, and where it was taken from."""

import functools
import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from mai_jax.demo import pictures
from mai_jax.demo import work as steps
from mai_jax.demo.gate import MAX_UPLOAD
from mai_jax.demo.work import Work
from mai_jax.inference import Inpainter
from mai_jax.types import InputError, RunError

HERE = Path(__file__).parent
FONTS = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}  # nothing is fetched
LOOK = {"css_paths": [HERE / "page.css"], "theme": gr.themes.Default(primary_hue="indigo", **FONTS)}
BRUSH = """
<div class="brush" hidden>
  <div class="stack"><img alt="The photo, to paint on" draggable="false"><canvas></canvas></div>
  <div class="tools">
    <label>Brush <input type="range" min="4" max="96" value="28" aria-label="Brush size"></label>
    <button type="button">Undo</button><button type="button">Clear</button>
  </div>
</div>"""
GROWTH = 32  # pixels, at most
STAGES = {"attention_1": "Coarse stage", "attention_2": "Fine stage"}
WHITE = [("the hole", "hole"), ("what stays", "known")]

PRIVATE = {"api_visibility": "private"}  # no programmer's interface

Changes = dict[gr.components.Component, Any]


def build(inpainter: Inpainter, where: str) -> gr.Blocks:
    """The page for one checkpoint. `where` says in words what happens to the photographs."""
    with gr.Blocks(title="Repair a photo", analytics_enabled=False, delete_cache=(600, 3600)) as blocks:
        _head(inpainter, where)
        _Page(inpainter).wire()
    return blocks.queue(api_open=False, max_size=16, default_concurrency_limit=1)


class _Page:
    """The components in the order in which they stand on the page, and what happens when they are used."""

    def __init__(self, inpainter: Inpainter) -> None:
        self.inpainter = inpainter
        self.work = gr.State()
        with gr.Row():
            with gr.Column(min_width=340):
                _step(1, "Photo", f"JPEG, PNG, TIFF, WebP, AVIF, BMP or GIF, up to {MAX_UPLOAD >> 20} MB.")
                self.photo = gr.File(show_label=False, height=140, elem_id="photo")
                with gr.Column(visible=False) as self.holes:
                    self._hole()
                self.message = gr.HTML(elem_id="message", elem_classes="message", apply_default_css=False)
            with gr.Column(min_width=340):
                _step(3, "Result")
                self.waiting = gr.HTML("Before and after will stand here.", elem_id="waiting", elem_classes="hint",
                                       apply_default_css=False)
                with gr.Column(visible=False) as self.results:
                    self._result()

    def _hole(self) -> None:
        _step(2, "Hole", "Paint over what should disappear.")
        self.brush = gr.HTML(html_template=BRUSH, js_on_load=(HERE / "brush.js").read_text(), apply_default_css=False,
                             elem_id="brush")
        self.transparent = gr.Checkbox(label="Fill the transparent part", elem_id="transparent")
        with gr.Accordion("Have a mask file?", open=False, elem_id="masks"):
            self.mask = gr.File(label="Mask, as large as the photo", height=110, elem_id="mask")
            self.white = gr.Radio(WHITE, value="hole", label="White means", elem_id="white")
        self.grow = gr.Slider(0, GROWTH, value=0, step=1, label="Grow the hole, in pixels of the photo", elem_id="grow")
        self.fill = gr.Button("Fill", variant="primary", elem_id="fill")

    def _result(self) -> None:
        self.compare = gr.ImageSlider(interactive=False, format="png", buttons=["fullscreen"], label="Before | after",
                                      elem_id="compare")
        self.download = gr.DownloadButton(elem_id="download")
        _step(4, "Where from?", "Click into the outlined hole: what that spot was taken from lights up.")
        self.spot = gr.Image(interactive=False, format="png", buttons=[], show_label=False, elem_id="spot")
        self.remark = gr.HTML(elem_id="remark", elem_classes="message", apply_default_css=False)
        with gr.Row(visible=False) as self.origins:
            self.stages = {name: gr.Image(interactive=False, format="png", buttons=["fullscreen"], label=words,
                                          min_width=150, elem_id=name) for name, words in STAGES.items()}

    def wire(self) -> None:
        """Says what each use of a component does."""
        given = [self.work, self.mask, self.white, self.transparent]
        self._on([self.photo.upload], self.open, [self.photo], self.message, busy=[self.photo])
        self._on([self.photo.clear], self.close, [], self.message)
        self._on([self.mask.upload, self.mask.clear, self.white.input, self.transparent.input], self.give, given,
                 self.message)
        filling = self.fill.click(lambda: (gr.Button("Filling …", interactive=False), ""), None,
                                  [self.fill, self.message], show_progress="hidden", **PRIVATE)
        self._on([filling.then], self.repair, [self.work, self.brush, self.grow], self.message,
                 busy=[self.waiting, self.compare])
        self._on([self.spot.select], self.ask, [self.work], self.remark, busy=[self.spot])

    def _on(
        self, events: list[Callable], act: Callable[..., Changes], inputs: list, line: gr.HTML,
        busy: list[gr.components.Component] | None = None,
    ) -> None:  # fmt: skip
        """Lets `act` answer the events, one at a time. What cannot be used is said on `line`, and no more changes."""

        @functools.wraps(act)
        def answer(*inputs):
            try:
                if inputs and inputs[0] is None:
                    raise InputError("there is no photo here any more: drop it again")
                return {line: "", **act(*inputs)}
            except RunError as error:
                return {line: _line(str(error), error=True), self.fill: _ready()}

        outputs = [part for part in vars(self).values() if isinstance(part, gr.blocks.Block)] + [*self.stages.values()]
        for event in events:
            event(answer, inputs, outputs, show_progress="full" if busy else "hidden", show_progress_on=busy,
                  concurrency_id="one", **PRIVATE)

    def open(self, path: str) -> Changes:
        """A photograph came."""
        return self.close() | self._show(steps.opened(Path(path).read_bytes(), Path(path).name), keep=False)

    def close(self) -> Changes:
        """The photograph was taken away."""
        return {self.work: None, self.holes: gr.Column(visible=False), self.brush: None, self.mask: None,
                self.transparent: False, self.results: gr.Column(visible=False), self.waiting: gr.HTML(visible=True),
                self.fill: _ready()}

    def give(self, work: Work, path: str | None, mask_means: str, transparent: bool) -> Changes:
        """A mask file came or went, or its meaning or that of the transparency was changed."""
        encoded, name = (Path(path).read_bytes(), Path(path).name) if path else (None, "")
        try:
            work = steps.with_given(work, encoded, name, mask_means, with_transparent=transparent)
        except InputError as error:  # a mask that is not used must not look as if it were
            return {self.mask: None, self.message: _line(str(error), error=True)}
        doubt = steps.doubt(work, mask_means)
        return self._show(work, keep=True) | ({self.message: _line(doubt)} if doubt and path else {})

    def repair(self, work: Work, brush: Any, growth: float) -> Changes:
        """The hole is to be filled."""
        strokes = brush.get("strokes") if isinstance(brush, dict) else None
        work = steps.filled(work, self.inpainter, str(strokes or ""), int(growth))
        name, encoded = steps.download(work)
        file = save_bytes_to_cache(encoded, name, self.download.GRADIO_CACHE)
        pair = (pictures.shown(work.photo.rgb), pictures.shown(work.result))
        return {self.work: work, self.compare: pair, self.download: gr.DownloadButton(f"Download {name}", value=file),
                self.spot: pictures.outlined(work.result, work.hole), self.origins: gr.Row(visible=False),
                self.remark: "", self.waiting: gr.HTML(visible=False), self.results: gr.Column(visible=True),
                self.fill: _ready()}

    def ask(self, work: Work, spot: gr.SelectData) -> Changes:
        """A spot of the result was clicked."""
        found = dict(steps.origins(work, self.inpainter, tuple(spot.index)))
        return {self.stages[name]: picture for name, picture in found.items()} | {self.origins: gr.Row(visible=True)}

    def _show(self, work: Work, *, keep: bool) -> Changes:
        """The photograph with its given hole, to paint on; with `keep` what is painted stays."""
        picture = pictures.data_url(pictures.tinted(work.photo.rgb, work.given))
        return {self.work: work, self.holes: gr.Column(visible=True), self.brush: {"photo": picture, "keep": keep},
                self.transparent: gr.Checkbox(work.with_transparent, visible=steps.has_transparency(work.photo))}


def _ready() -> gr.Button:
    return gr.Button("Fill", interactive=True)


def _head(inpainter: Inpainter, where: str) -> None:
    config = inpainter.config
    gr.HTML(f"""<h1>Repair a photo</h1>
        <p>Paint over what should disappear; a network fills the place from what surrounds it.</p>
        <p class="hint">Loaded: {config.method}, trained for {inpainter.step:,} steps at {config.image_size} x
        {config.image_size} pixels. {html.escape(where)}</p>""", elem_id="head", apply_default_css=False)


def _step(number: int, title: str, words: str = "") -> None:
    hint = f'<p class="hint">{words}</p>' if words else ""
    gr.HTML(f"<h2><span>{number}</span>{title}</h2>{hint}", elem_classes="step", apply_default_css=False)


def _line(words: str, *, error: bool = False) -> str:
    kind = ' class="error" role="alert"' if error else ""
    return f"<p{kind}>{html.escape(words)}</p>"
