"""Costs of compiled programs, and ahead-of-time compilation of the training step for a TPU."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import lax

from mai_jax.config import Config
from mai_jax.errors import InputError, RunError
from tools import aot, roofline
from tools.hlo import Array, Program
from tools.roofline import Chip, Costs, Moved, Times

N = 32
MATRIX = jax.ShapeDtypeStruct((N, N), jnp.float32)
PRODUCT = 2 * N**3


def compiled(f, *args):
    return jax.jit(f).lower(*args).compile()


def costs(f, *args) -> Costs:
    return roofline.costs(compiled(f, *args).as_text())


def test_the_body_of_a_loop_counts_once_per_iteration():
    def loops(x, ws):
        """Multiply six times (one and a loop of five) in each of seven iterations."""

        def body(x, w):
            return lax.fori_loop(2, 7, lambda _, x: x @ w, jnp.tanh(x @ w)), None

        return lax.scan(body, x, ws)[0].sum()

    stack = jax.ShapeDtypeStruct((7, N, N), jnp.float32)
    assert costs(loops, MATRIX, stack).flops == 7 * 6 * PRODUCT
    assert costs(jax.grad(loops), MATRIX, stack).flops == 2 * 7 * 6 * PRODUCT
    assert compiled(loops, MATRIX, stack).cost_analysis()["flops"] < 3 * PRODUCT  # the reason for not using it


def test_a_loop_with_an_unknown_trip_count_is_an_error():
    with pytest.raises(ValueError, match="how often"):
        costs(lambda x: lax.while_loop(lambda x: x.sum() < 1, lambda x: x @ x, x), MATRIX)


def test_a_loop_over_slices_reads_each_slice_once():
    def swept(n):
        return costs(lambda ws: lax.map(jnp.sin, ws), jax.ShapeDtypeStruct((n, N, N), jnp.float32)).hbm_bytes

    assert swept(64) / swept(32) == pytest.approx(2, rel=0.01)
    assert swept(64) <= 5 * 64 * 4 * N * N


@pytest.mark.parametrize("options", [
    {"window_strides": (2, 2), "padding": "SAME"},
    {"window_strides": (1, 1), "padding": ((3, 1), (0, 2)), "rhs_dilation": (2, 1)},
    {"window_strides": (2, 1), "padding": "VALID", "feature_group_count": 2},
])  # fmt: skip
def test_flops_of_a_convolution_and_its_gradients_agree_with_xla(options):
    def convolve(x, kernel):
        return lax.conv_general_dilated(x, kernel, dimension_numbers=("NHWC", "HWIO", "NHWC"), **options)

    inputs = 4 // options.get("feature_group_count", 1)
    x = jax.ShapeDtypeStruct((2, 9, 8, 4), jnp.float32)
    kernel = jax.ShapeDtypeStruct((3, 3, inputs, 6), jnp.float32)
    out = jax.eval_shape(convolve, x, kernel)
    for f in (convolve, lambda x, k: jax.linear_transpose(lambda x: convolve(x, k), x),
              lambda x, k: jax.linear_transpose(lambda k: convolve(x, k), k)):  # fmt: skip
        program = compiled(f, x, kernel) if f is convolve else compiled(lambda x, k, y, f=f: f(x, k)(y), x, kernel, out)
        assert roofline.costs(program.as_text()).flops == program.cost_analysis()["flops"] > 0


# Features of libtpu's output: loops without annotated trip count, tiles, memory spaces (S: not HBM), async transfers.
TPU_TEXT = """\
HloModule jit_step, is_scheduled=true

%condition (p.1: (s32[], bf16[5,100])) -> pred[] {
  %c.1 = s32[]{:T(128)} constant(11)
  %p.1 = (s32[]{:T(128)}, bf16[5,100]{1,0:T(8,128)(2,1)}) parameter(0)
  %i.1 = s32[]{:T(128)} get-tuple-element(%p.1), index=0
  ROOT %lt = pred[]{:T(512)} compare(%i.1, %c.1), direction=LT
}

%body (p.2: (s32[], bf16[5,100])) -> (s32[], bf16[5,100]) {
  %c.2 = s32[]{:T(128)} constant(4)
  %p.2 = (s32[]{:T(128)}, bf16[5,100]{1,0:T(8,128)(2,1)}) parameter(0)
  %i.2 = s32[]{:T(128)} get-tuple-element(%p.2), index=0
  %copy.2 = s32[]{:T(128)S(6)} copy(%i.2)
  %add.2 = s32[]{:T(128)S(6)} add(%copy.2, %c.2)
  %x.2 = bf16[5,100]{1,0:T(8,128)(2,1)} get-tuple-element(%p.2), index=1
  %r.2 = bf16[5,100]{1,0:T(8,128)(2,1)} all-reduce(%x.2), channel_id=1, to_apply=%sum
  ROOT %t.2 = (s32[]{:T(128)}, bf16[5,100]{1,0:T(8,128)(2,1)}) tuple(%add.2, %r.2)
}

ENTRY %main (x: bf16[5,100], y: f32[10,8,128]) -> bf16[5,100] {
  %x = bf16[5,100]{1,0:T(8,128)(2,1)} parameter(0)
  %y = f32[10,8,128]{2,1,0:T(8,128)} parameter(1)
  %slice-start = ((f32[10,8,128]{2,1,0:T(8,128)}), f32[1,8,128]{2,1,0:T(8,128)S(1)}, s32[]{:S(2)}) slice-start(%y)
  %slice-done = f32[1,8,128]{2,1,0:T(8,128)S(1)} slice-done(%slice-start)
  %exp = f32[1,8,128]{2,1,0:T(8,128)S(1)} exponential(%slice-done)
  %zero = s32[]{:T(128)} constant(1)
  %copy.3 = s32[]{:T(128)} copy(%zero)
  %t.3 = (s32[]{:T(128)}, bf16[5,100]{1,0:T(8,128)(2,1)}) tuple(%copy.3, %x)
  %while = (s32[]{:T(128)}, bf16[5,100]{1,0:T(8,128)(2,1)}) while(%t.3), condition=%condition, body=%body
  ROOT %out = bf16[5,100]{1,0:T(8,128)(2,1)} get-tuple-element(%while), index=1
}
"""


def test_text_for_a_tpu():
    found = roofline.costs(TPU_TEXT)
    assert found.collectives == {"all-reduce": Moved(3, 3 * 2 * 500)}  # the counter is 1, 5, 9
    tiles = 3 * 2 * (2 * 8 * 128)  # read and written by each all-reduce
    assert tiles + 4 * 8 * 128 <= found.hbm_bytes < tiles + 4 * 8 * 128 + 100  # the rest are scalars
    assert Program(TPU_TEXT).entry == "main"


def test_a_kernel_with_a_cost_estimate_counts_its_flops():
    kernel = """  %kernel = bf16[5,100]{1,0:T(8,128)(2,1)} custom-call(%x), custom_call_target="tpu_custom_call", \
backend_config={"custom_call_config":{"body":"TUzv","cost_estimate":{"flops":"600","transcendentals":"9"}}}
  %while"""
    assert roofline.costs(TPU_TEXT).flops == 0
    assert roofline.costs(TPU_TEXT.replace("  %while", kernel, 1)).flops == 600


def test_size_of_an_array_in_memory():
    assert Array("bf16", (3, 130), "0,1:T(8,128)(2,1)").stored == 2 * 136 * 128
    assert Array("pred", (3,), "").stored == Array("pred", (3,), "").bytes == 3


def test_the_roofline():
    chip = Chip(flops=100.0, hbm=1.0, hbm_rate=10.0, link_rate=5.0)
    found = roofline.times(Costs(300, 20, {"all-reduce": Moved(2, 10), "all-gather": Moved(1, 4)}), chip, 4)
    assert found == Times(3.0, 2.0, 24 * 0.75 / 5) and found.bound == "links"
    assert roofline.times(Costs(300, 20, {}), chip, 1).bound == "matrix units"


@given(st.integers(0, 5000), st.integers(1, 5000))
def test_the_search_brackets_the_largest_batch(limit, guess):
    trials = []

    def fits(batch):
        trials.append(batch)
        return batch <= limit

    good, bad = aot.largest(fits, guess)
    assert good <= limit < bad and bad - good <= max(1, good // 8)
    assert len(trials) == len(set(trials)) and min(trials) > 0
    if 0.9 * limit <= guess <= 1.1 * limit:
        assert len(trials) <= 4


def test_an_unknown_chip_and_a_missing_compiler_are_errors(monkeypatch):
    with pytest.raises(InputError, match=r"v9z:4x4.*v5e"):
        aot.describe("v9z:4x4")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install '\.\[aot\]'"):
        aot.describe("v5e:4x4")


def test_an_unreadable_program_is_an_error_of_one_line(monkeypatch):
    program = jax.jit(lambda x: x).lower(MATRIX).compile()

    def fail(self):
        raise jax.errors.JaxRuntimeError("INTERNAL: RET_CHECK failure\n*** Begin stack trace ***")

    monkeypatch.setattr(type(program), "as_text", fail)
    monkeypatch.setattr(aot, "compile_for", lambda config, devices, batch: program)
    with pytest.raises(RunError, match=r"^v5p:2x2x1: jaxlib .*\(INTERNAL: RET_CHECK failure\); install .*$"):
        aot.plan(Config(), aot.Topology("v5p:2x2x1", aot.CHIPS["v5p"], []), 1)


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs libtpu: pip install '.[aot]'")
def test_the_quickstart_compiles_for_a_tpu():
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tools.aot", "--config=configs/quickstart.py", "--nolargest_batch"]
    found = subprocess.run([*command, "--topology=v5e:2x2"], cwd=root, capture_output=True, text=True, check=True)
    assert "4 chips, 2 images each" in found.stdout and "bound by" in found.stdout
    kinds = [line.partition(":")[0] for line in found.stdout.splitlines() if line.partition(":")[0] in
             roofline.COLLECTIVES]  # fmt: skip
    assert kinds == ["all-reduce"]
    failed = subprocess.run([*command, "--topology=v5e:3x7"], cwd=root, capture_output=True, text=True, check=False)
    assert failed.returncode == 1 and failed.stderr.startswith("error: --topology=v5e:3x7: ")
