"""Operators of LiteRT for Microcontrollers, and the methods that register them.

Source: tensorflow/lite/micro/micro_mutable_op_resolver.h of tflite-micro, commit 90b983c of 20
August 2026.
"""

from collections.abc import Iterable

from tinyrefinery.errors import DataError

_NAMES = """
ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND
BROADCAST_ARGS BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTHWISE_CONV_2D
DEPTH_TO_SPACE DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL
FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF
L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR
LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2
PRELU QUANTIZE READ_VARIABLE REDUCE_ALL REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR
RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND
SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH
TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE ZEROS_LIKE
"""
OPERATORS = frozenset(_NAMES.split())
_SPECIAL = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}


def register_methods(kinds: Iterable[str], name: str) -> list[str]:
    """Methods of `MicroMutableOpResolver`, e.g. `AddConv2D`, each once, in alphabetical order.

    Args:
        kinds: operators, e.g. `CONV_2D`.
        name: of the file, for errors.

    Raises:
        DataError: if LiteRT for Microcontrollers lacks an operator.
    """
    kinds = sorted(set(kinds))
    if missing := [kind for kind in kinds if kind not in OPERATORS]:
        raise DataError(
            f"{name}: LiteRT for Microcontrollers has no operator {', '.join(missing)}. Export a "
            "network without it, or bundle the file for a Raspberry Pi: --for pi"
        )
    return [f"Add{_SPECIAL.get(kind, _camel(kind))}" for kind in kinds]


def _camel(kind: str) -> str:
    return "".join(p.upper() if p[0].isdigit() else p.capitalize() for p in kind.split("_"))
