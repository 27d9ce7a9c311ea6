"""What a program compiled for a GPU executes, and the compilation for one that is not there."""

import importlib.util
import json
from pathlib import Path

import jax
import jaxtyping
import pytest
from jax import lax

from mai_jax.errors import InputError
from tools import aot, gpu, roofline, scaling_gpus, step_parts
from tools.gpu import Convolutions
from tools.roofline import Moved

# Features of XLA's output for GPUs: cuDNN as custom calls, products and transposes inside of fusions, loops of known
# length. `conv` is a convolution of [2, 8, 8, 4] with [3, 3, 4, 16] and stride 2; `input` and `filter` its gradients.
GPU_TEXT = """\
HloModule jit_step, is_scheduled=true

%fused_transpose (p.0: bf16[3,3,4,16]) -> bf16[16,3,3,4] {
  %p.0 = bf16[3,3,4,16]{3,2,1,0} parameter(0)
  ROOT %transpose.1 = bf16[16,3,3,4]{3,2,1,0} transpose(%p.0), dimensions={3,0,1,2}
}

%nested (p.1: bf16[32,64], p.2: bf16[64,8]) -> f32[32,8] {
  %p.1 = bf16[32,64]{1,0} parameter(0)
  %p.2 = bf16[64,8]{1,0} parameter(1)
  ROOT %dot.1 = f32[32,8]{1,0} dot(%p.1, %p.2), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

%fused_gemm (p.3: bf16[32,64], p.4: bf16[64,8]) -> f32[32,8] {
  %p.3 = bf16[32,64]{1,0} parameter(0)
  %p.4 = bf16[64,8]{1,0} parameter(1)
  ROOT %inner = f32[32,8]{1,0} fusion(%p.3, %p.4), kind=kCustom, calls=%nested
}

%fused_add (p.5: f32[32,8]) -> f32[32,8] {
  %p.5 = f32[32,8]{1,0} parameter(0)
  ROOT %add.1 = f32[32,8]{1,0} add(%p.5, %p.5), metadata={op_name="jit(step)/vmap()/add"}
}

%condition (p.6: (s32[], f32[32,8])) -> pred[] {
  %p.6 = (s32[], f32[32,8]{1,0}) parameter(0)
  %i.1 = s32[] get-tuple-element(%p.6), index=0
  %c.1 = s32[] constant(5)
  ROOT %lt = pred[] compare(%i.1, %c.1), direction=LT
}

%body (p.7: (s32[], f32[32,8])) -> (s32[], f32[32,8]) {
  %p.7 = (s32[], f32[32,8]{1,0}) parameter(0)
  %i.2 = s32[] get-tuple-element(%p.7), index=0
  %y.1 = f32[32,8]{1,0} get-tuple-element(%p.7), index=1
  %loop_add_fusion = f32[32,8]{1,0} fusion(%y.1), kind=kLoop, calls=%fused_add
  ROOT %t.1 = (s32[], f32[32,8]{1,0}) tuple(%i.2, %loop_add_fusion)
}

ENTRY %main (x: bf16[2,8,8,4], kernel: bf16[3,3,4,16], a: bf16[32,64], b: bf16[64,8], m: f32[2,1,8,8]) -> f32[32,8] {
  %x = bf16[2,8,8,4]{3,2,1,0} parameter(0)
  %kernel = bf16[3,3,4,16]{3,2,1,0} parameter(1)
  %a = bf16[32,64]{1,0} parameter(2)
  %b = bf16[64,8]{1,0} parameter(3)
  %m = f32[2,1,8,8]{3,2,1,0} parameter(4)
  %wrapped_transpose = bf16[16,3,3,4]{3,2,1,0} fusion(%kernel), kind=kInput, calls=%fused_transpose, metadata={op_name="jit(step)/jvp(Generator)/encode_1/transpose"}
  %conv = (bf16[2,4,4,16]{3,2,1,0}, u8[0]{0}) custom-call(%x, %wrapped_transpose), window={size=3x3 stride=2x2 pad=1_1x1_1}, dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convForward", metadata={op_name="jit(step)/jvp(Generator)/encode_1/conv_general_dilated"}
  %out = bf16[2,4,4,16]{3,2,1,0} get-tuple-element(%conv), index=0
  %input = (bf16[2,8,8,4]{3,2,1,0}, u8[0]{0}) custom-call(%out, %wrapped_transpose), window={size=3x3 stride=2x2 pad=1_1x1_1}, dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convBackwardInput", metadata={op_name="jit(step)/transpose(jvp(Generator))/encode_1/conv_general_dilated"}
  %filter = (bf16[16,3,3,4]{3,2,1,0}, u8[0]{0}) custom-call(%x, %out), window={size=3x3 stride=2x2 pad=1_1x1_1}, dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convBackwardFilter", metadata={op_name="jit(step)/transpose(jvp(Generator))/encode_1/conv_general_dilated"}
  %window = f32[1,1,3,3]{3,2,1,0} constant({...})
  %sums = (f32[2,1,8,8]{3,2,1,0}, u8[0]{0}) custom-call(%m, %window), window={size=3x3 pad=1_1x1_1}, dim_labels=bf01_oi01->bf01, custom_call_target="__cudnn$convForward"
  %gemm_fusion = f32[32,8]{1,0} fusion(%a, %b), kind=kCustom, calls=%fused_gemm, metadata={op_name="jit(step)/jvp(Generator)/refine/attention_2/while/dot_general"}
  %zero = s32[] constant(0)
  %t.2 = (s32[], f32[32,8]{1,0}) tuple(%zero, %gemm_fusion)
  %while = (s32[], f32[32,8]{1,0}) while(%t.2), condition=%condition, body=%body, backend_config={"known_trip_count":{"n":"5"}}
  %y = f32[32,8]{1,0} get-tuple-element(%while), index=1
  ROOT %copy = f32[32,8]{1,0} copy(%y)
}
"""  # noqa: E501
CONVOLUTION = 2 * 2 * 16 * 4 * (2 + 3 * 3) ** 2  # the first of four windows on an axis covers two pixels
SUMS = 2 * 2 * (2 * 2 + 6 * 3) ** 2
ARRAYS = 2 * (2 * 8 * 8 * 4 + 16 * 3 * 3 * 4 + 2 * 4 * 4 * 16)


def test_launches_and_convolutions_of_a_program():
    found = gpu.kernels(GPU_TEXT)
    assert found.by_kind == {"transposes": 1, "convolutions": 4, "matrix products": 1, "elementwise": 5, "copies": 1}
    assert found.launches == 12
    assert found.convolutions == {
        ("bf16", "channels last"): Convolutions(3, 3 * CONVOLUTION, 3 * ARRAYS),
        ("f32", "channels first"): Convolutions(1, SUMS, 4 * (2 * 2 * 8 * 8 + 9))}  # fmt: skip


def test_the_parts_of_a_step():
    found = step_parts.parts(GPU_TEXT)
    assert found == {
        "Generator, backward": Moved(2, 2 * ARRAYS),
        "Generator, forward": Moved(2, ARRAYS + 2 * 2 * 3 * 3 * 4 * 16),
        "holes": Moved(5, 5 * 2 * 4 * 32 * 8),
        "attention_2, forward": Moved(1, 2 * (32 * 64 + 64 * 8) + 4 * 32 * 8),
        "copies and constants": Moved(2, 4 * (2 * 2 * 8 * 8 + 9) + 2 * 4 * 32 * 8),
    }
    assert list(found)[:2] == ["holes", "Generator, backward"]  # the most bytes first
    assert sum(part.bytes for part in found.values()) == roofline.costs(GPU_TEXT).hbm_bytes


def test_flops_of_a_program_for_a_gpu():
    assert roofline.costs(GPU_TEXT).flops == 3 * CONVOLUTION + SUMS + 2 * 32 * 64 * 8
    x, kernel = jax.ShapeDtypeStruct((2, 8, 8, 4), "float32"), jax.ShapeDtypeStruct((3, 3, 4, 16), "float32")
    convolve = jax.jit(lambda x, kernel: lax.conv_general_dilated(
        x, kernel, (2, 2), [(1, 1)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")))  # fmt: skip
    assert convolve.lower(x, kernel).compile().cost_analysis()["flops"] == CONVOLUTION


def test_the_section_of_the_page(monkeypatch):
    plan = aot.Plan(aot.Topology("h100:1x1x1", aot.CHIPS["h100"], [None]), 6, aot.Memory(1, 2, 3, 4_000_000_000),
                    roofline.costs(GPU_TEXT), step_parts.parts(GPU_TEXT), gpu.kernels(GPU_TEXT))  # fmt: skip
    monkeypatch.setattr(aot, "describe", lambda name: plan.topology)
    monkeypatch.setattr(aot, "plan", lambda *given: plan)
    monkeypatch.setattr(scaling_gpus.importlib.metadata, "version", lambda name: "0.1.2")
    record = json.loads(json.dumps(scaling_gpus.record(None, "h100:1x1x1", 6)))
    text = scaling_gpus.section([record])
    assert "jax 0.1.2" in text and "| h100 | 1 | 6 | 4.0 GB | 12 |" in text and "| HBM |" in text
    assert "4 convolutions,\n3 are bf16, channels last, 1 are f32, channels first." in text
    assert "| holes | 5 | 0 |" in text and "| all | 12 | 0 |" in text and "5 elementwise" in text


def test_an_unknown_topology_and_a_missing_compiler_are_errors(monkeypatch):
    with pytest.raises(InputError, match=r"--topology=h100:2x8: .*h100:1x1xN"):
        aot.describe("h100:2x8")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install '\.\[aot-gpu\]'"):
        aot.describe("a100:1x1x1")


def test_a_step_that_does_not_fit_into_a_gpu_is_none(monkeypatch):
    program = jax.jit(lambda x: x + 1).lower(jax.ShapeDtypeStruct((64,), "float32")).compile()
    monkeypatch.setattr(aot, "compile_for", lambda config, devices, batch: program)
    for size, fits in ((512, True), (511, False)):
        chip = aot.CHIPS["h100"]._replace(hbm=size)
        assert (aot.plan(None, aot.Topology("h100:1x1x1", chip, []), 1) is not None) == fits


def test_the_quickstart_compiles_for_a_gpu(monkeypatch):
    pytest.importorskip("jax_cuda13_plugin", reason="needs the compiler for GPUs: pip install '.[aot-gpu]'")
    path = Path(__file__).parents[2] / "configs" / "quickstart.py"
    spec = importlib.util.spec_from_file_location("quickstart", path)
    quickstart = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(quickstart)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # lowering passes abstract values
    found = aot.plan(quickstart.get_config(), aot.describe("h100:1x1x1"), 8)
    text = aot.report(found)
    assert set(found.kernels.convolutions) == {("f32", "channels last")}
    assert found.costs.flops == pytest.approx(6.22e9, rel=0.01)
    assert "bound by HBM" in text and "excludes the workspace of cuDNN" in text
    assert f"{found.kernels.launches} kernels per step" in text and found.kernels.launches <= 790
