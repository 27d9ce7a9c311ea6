"""The page: upload of a photograph, a hole from brush strokes or a mask file, the result, and its attention sources."""

import functools
import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from mai_jax.demo import editing, pictures
from mai_jax.demo.editing import Edit
from mai_jax.demo.gate import MAX_UPLOAD
from mai_jax.errors import InputError, RunError
from mai_jax.inference import Inpainter

HERE = Path(__file__).parent
# No font is downloaded.
FONTS: dict[str, Any] = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
STYLE: dict[str, Any] = {"css_paths": [HERE / "page.css"], "theme": gr.themes.Default(primary_hue="indigo", **FONTS)}
BRUSH = """
<div class="brush" hidden>
  <div class="stack"><img alt="The photo, to paint over" draggable="false"><canvas></canvas></div>
  <div class="tools">
    <label>Brush <input type="range" min="4" max="96" value="28" aria-label="Brush size"></label>
    <button type="button">Undo</button><button type="button">Clear</button>
  </div>
</div>"""
MAX_GROWTH = 32  # pixels
STAGES = {"attention_1": "Coarse stage", "attention_2": "Fine stage"}
MASK_MEANS = [("the hole", "hole"), ("the part to keep", "valid")]

PRIVATE: dict[str, Any] = {"api_visibility": "private"}  # event handlers without an HTTP API

Changes = dict[gr.components.Component, Any]


def build(inpainter: Inpainter, privacy: str) -> gr.Blocks:
    """Return the page for one checkpoint. `privacy` is a sentence on what happens to the photographs."""
    with gr.Blocks(title="Repair a photo", analytics_enabled=False, delete_cache=(600, 3600)) as blocks:
        _head(inpainter, privacy)
        _Page(inpainter).wire()
    return blocks.queue(api_open=False, max_size=16, default_concurrency_limit=1)


class _Page:
    """The components, in their order on the page, and their event handlers."""

    def __init__(self, inpainter: Inpainter) -> None:
        self.inpainter = inpainter
        self.edit = gr.State()
        with gr.Row():
            with gr.Column(min_width=340):
                _step(1, "Photo", f"JPEG, PNG, TIFF, WebP, AVIF, BMP or GIF, up to {MAX_UPLOAD >> 20} MB.")
                self.photo = gr.File(show_label=False, height=140, elem_id="photo")
                with gr.Column(visible=False) as self.holes:
                    self._hole()
                self.message = gr.HTML(elem_id="message", elem_classes="message", apply_default_css=False)
            with gr.Column(min_width=340):
                _step(3, "Result")
                self.waiting = gr.HTML("The result will appear here.", elem_id="waiting", elem_classes="hint",
                                       apply_default_css=False)
                with gr.Column(visible=False) as self.results:
                    self._result()

    def _hole(self) -> None:
        _step(2, "Hole", "Paint over what should be removed.")
        self.brush = gr.HTML(html_template=BRUSH, js_on_load=(HERE / "brush.js").read_text(), apply_default_css=False,
                             elem_id="brush")
        self.transparent = gr.Checkbox(label="Fill the transparent part", elem_id="transparent")
        with gr.Accordion("Use a mask file", open=False, elem_id="masks"):
            self.mask = gr.File(label="Mask, same size as the photo", height=110, elem_id="mask")
            self.white = gr.Radio(MASK_MEANS, value="hole", label="White means", elem_id="white")
        self.grow = gr.Slider(0, MAX_GROWTH, value=0, step=1, label="Enlarge the hole by (pixels)", elem_id="grow")
        self.fill = gr.Button("Fill", variant="primary", elem_id="fill")

    def _result(self) -> None:
        self.compare = gr.ImageSlider(interactive=False, format="png", buttons=["fullscreen"], label="Before | after",
                                      elem_id="compare")
        self.download = gr.DownloadButton(elem_id="download")
        _step(4, "Sources", "Click inside the outlined area to see which parts of the photo were used there.")
        self.outlined = gr.Image(interactive=False, format="png", buttons=[], show_label=False, elem_id="outlined")
        self.remark = gr.HTML(elem_id="remark", elem_classes="message", apply_default_css=False)
        with gr.Row(visible=False) as self.sources:
            self.stages = {name: gr.Image(interactive=False, format="png", buttons=["fullscreen"], label=label,
                                          min_width=150, elem_id=name) for name, label in STAGES.items()}

    def wire(self) -> None:
        """Connect the events of the components to their handlers."""
        hole_inputs = [self.edit, self.mask, self.white, self.transparent]
        self._on([self.photo.upload], self.open_photo, [self.photo], self.message, busy=[self.photo])
        self._on([self.photo.clear], self.reset, [], self.message)
        self._on([self.mask.upload, self.mask.clear, self.white.input, self.transparent.input], self.set_file_hole,
                 hole_inputs, self.message)
        filling = self.fill.click(lambda: (gr.Button("Filling …", interactive=False), ""), None,
                                  [self.fill, self.message], show_progress="hidden", **PRIVATE)
        self._on([filling.then], self.repair, [self.edit, self.brush, self.grow], self.message,
                 busy=[self.waiting, self.compare])
        self._on([self.outlined.select], self.show_sources, [self.edit], self.remark, busy=[self.outlined])

    def _on(
        self, events: list[Callable], handler: Callable[..., Changes], inputs: list, message: gr.HTML,
        busy: list[gr.components.Component] | None = None,
    ) -> None:  # fmt: skip
        """Make `handler` handle the events, one at a time; a RunError is shown in `message` and changes nothing else.

        `busy` are the components that show the progress.
        """

        @functools.wraps(handler)
        def handle(*inputs):
            try:
                if inputs and inputs[0] is None:
                    raise InputError("the photo is no longer available: upload it again")
                return {message: "", **handler(*inputs)}
            except RunError as error:
                return {message: _message(str(error), error=True), self.fill: _fill_button()}

        outputs = [part for part in vars(self).values() if isinstance(part, gr.blocks.Block)] + [*self.stages.values()]
        for event in events:
            event(handle, inputs, outputs, show_progress="full" if busy else "hidden", show_progress_on=busy,
                  concurrency_id="one", **PRIVATE)

    def open_photo(self, path: str) -> Changes:
        """Show an uploaded photograph."""
        edit = editing.open_photo(Path(path).read_bytes(), Path(path).name)
        return self.reset() | self._show(edit, keep_strokes=False)

    def reset(self) -> Changes:
        """Remove the photograph and everything that belongs to it."""
        return {self.edit: None, self.holes: gr.Column(visible=False), self.brush: None, self.mask: None,
                self.transparent: False, self.results: gr.Column(visible=False), self.waiting: gr.HTML(visible=True),
                self.fill: _fill_button()}

    def set_file_hole(self, edit: Edit, path: str | None, mask_means: str, transparent: bool) -> Changes:
        """Update the hole after a change of the mask file, of the meaning of white, or of the transparency option."""
        encoded, name = (Path(path).read_bytes(), Path(path).name) if path else (None, "")
        try:
            edit = editing.set_file_hole(edit, encoded, name, mask_means, with_transparent=transparent)
        except InputError as error:  # clear the upload, so that it does not look accepted
            return {self.mask: None, self.message: _message(str(error), error=True)}
        changes = self._show(edit, keep_strokes=True)
        return changes | ({self.message: _message(editing.mask_remark(edit.mask, mask_means))} if edit.mask else {})

    def repair(self, edit: Edit, brush: Any, growth: float) -> Changes:
        """Fill the hole and show the result."""
        strokes = brush.get("strokes") if isinstance(brush, dict) else None
        edit = editing.fill(edit, self.inpainter, str(strokes or ""), int(growth))
        assert edit.result is not None and edit.hole is not None  # set by `editing.fill`
        name, encoded = editing.encode_result(edit)
        file = save_bytes_to_cache(encoded, name, self.download.GRADIO_CACHE)
        pair = (pictures.display(edit.photo.rgb), pictures.display(edit.result))
        return {self.edit: edit, self.compare: pair, self.download: gr.DownloadButton(f"Download {name}", value=file),
                self.outlined: pictures.outline_hole(edit.result, edit.hole), self.sources: gr.Row(visible=False),
                self.remark: "", self.waiting: gr.HTML(visible=False), self.results: gr.Column(visible=True),
                self.fill: _fill_button()}

    def show_sources(self, edit: Edit, selected: gr.SelectData) -> Changes:
        """Show the sources of the pixel of the result that was clicked."""
        shown = dict(editing.source_pictures(edit, self.inpainter, tuple(selected.index)))
        return {self.stages[name]: picture for name, picture in shown.items()} | {self.sources: gr.Row(visible=True)}

    def _show(self, edit: Edit, *, keep_strokes: bool) -> Changes:
        """Show the photograph with its hole from files to paint over."""
        picture = pictures.data_url(pictures.tint_hole(edit.photo.rgb, edit.file_hole))
        return {self.edit: edit, self.holes: gr.Column(visible=True),
                self.brush: {"photo": picture, "keep": keep_strokes},
                self.transparent: gr.Checkbox(edit.with_transparent, visible=editing.has_transparency(edit.photo))}


def _fill_button() -> gr.Button:
    return gr.Button("Fill", interactive=True)


def _head(inpainter: Inpainter, privacy: str) -> None:
    gr.HTML(f"""<h1>Repair a photo</h1>
        <p>Paint over what should be removed. The area is filled from its surroundings.</p>
        <p class="hint">Loaded: {html.escape(inpainter.description)}. {html.escape(privacy)}</p>""",
            elem_id="head", apply_default_css=False)


def _step(number: int, title: str, hint_text: str = "") -> None:
    hint = f'<p class="hint">{hint_text}</p>' if hint_text else ""
    gr.HTML(f"<h2><span>{number}</span>{title}</h2>{hint}", elem_classes="step", apply_default_css=False)


def _message(text: str, *, error: bool = False) -> str:
    kind = ' class="error" role="alert"' if error else ""
    return f"<p{kind}>{html.escape(text)}</p>"
