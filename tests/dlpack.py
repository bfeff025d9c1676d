# SPDX-License-Identifier: MIT
"""dlpack.py - passes tensors to NumPy and PyTorch and back by DLPack and ctypes; the memory is shared.
    python tests/dlpack.py LIBCOTANGENT.SO
The exit status is 77 where neither NumPy nor PyTorch is installed. PyTorch is checked only if it is there.
"""
import ctypes
import gc
import sys

sys.path.pop(0)  # this folder holds one named torch

P = ctypes.c_void_p
F32, F64, I32, I64, BOOL, BF16 = range(6)
NAMES = {b"dltensor": "used_dltensor", b"dltensor_versioned": "used_dltensor_versioned"}


class Shape(ctypes.Structure):
    _fields_ = [("rank", ctypes.c_int), ("dim", ctypes.c_int64 * 8)]


class Scope(ctypes.Structure):  # ct_scope
    _fields_ = [("id", ctypes.c_uint64), ("thread", ctypes.c_uint32), ("depth", ctypes.c_uint32)]


class Options(ctypes.Structure):  # ct_dlpack_options
    _fields_ = [("writable", ctypes.c_bool)]


lib = ctypes.CDLL(sys.argv[1])
lib.ct_scope_begin.restype = Scope
lib.ct_scope_end.argtypes = [Scope]
lib.ct_error_message.restype = ctypes.c_char_p
lib.ct_error_set_handler.argtypes = [P, P]
lib.ct_to_dlpack.argtypes = [P, Options, ctypes.POINTER(P)]
lib.ct_to_dlpack_unversioned.argtypes = [P, ctypes.POINTER(P)]
for name in "ct_from_dlpack ct_from_dlpack_unversioned".split():
    getattr(lib, name).restype, getattr(lib, name).argtypes = P, [P]
lib.ct_arange.restype = P
lib.ct_arange.argtypes = [ctypes.c_double] * 3 + [ctypes.c_int] * 2
lib.ct_reshape.restype, lib.ct_reshape.argtypes = P, [P, Shape]
lib.ct_transpose.restype, lib.ct_transpose.argtypes = P, [P, ctypes.c_int, ctypes.c_int]
lib.ct_mul_scalar.restype, lib.ct_mul_scalar.argtypes = P, [P, ctypes.c_double]
lib.ct_fill.argtypes = [P, ctypes.c_double]
lib.ct_to_host.argtypes = [P, P, ctypes.c_size_t]
lib.ct_cast.restype, lib.ct_cast.argtypes = P, [P, ctypes.c_int]
lib.ct_error_set_handler(None, None)

api = ctypes.pythonapi
api.PyCapsule_New.restype, api.PyCapsule_New.argtypes = ctypes.py_object, [P, ctypes.c_char_p, P]
api.PyCapsule_GetPointer.restype = P
api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
api.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]
keep_names = [ctypes.c_char_p(v.encode()) for v in NAMES.values()]


class Tensor:
    """An object with the methods that NumPy and PyTorch call. A capsule that is not consumed is leaked,
    because it has no destructor."""

    def __init__(self, handle, writable=True):
        self.handle, self.writable = handle, writable

    def __dlpack_device__(self):
        return (1, 0)

    def __dlpack__(self, *, max_version=None, **_):
        m = P()
        if max_version:
            status = lib.ct_to_dlpack(self.handle, Options(self.writable), ctypes.byref(m))
        else:
            status = lib.ct_to_dlpack_unversioned(self.handle, ctypes.byref(m))
        if status:
            message = lib.ct_error_message().decode()
            lib.ct_error_clear()
            raise BufferError(message)
        return api.PyCapsule_New(m, b"dltensor_versioned" if max_version else b"dltensor", None)


def take(capsule):
    """The tensor of a capsule, which counts as consumed."""
    name = api.PyCapsule_GetName(capsule)
    f = lib.ct_from_dlpack if name == b"dltensor_versioned" else lib.ct_from_dlpack_unversioned
    t = f(api.PyCapsule_GetPointer(capsule, name))
    if t:
        api.PyCapsule_SetName(capsule, keep_names[list(NAMES).index(name)])
    return t


def values(t, dtype, count):
    room = (dtype * count)()
    assert lib.ct_to_host(t, room, ctypes.sizeof(room)) == 0, lib.ct_error_message()
    return list(room)


def refused(word):
    message = lib.ct_error_message().decode()
    assert word in message, message
    lib.ct_error_clear()


def check_numpy(np):
    s = lib.ct_scope_begin()
    t = lib.ct_transpose(lib.ct_reshape(lib.ct_arange(0, 6, 1, F64, 0), Shape(2, (2, 3))), 0, 1)
    a = np.from_dlpack(Tensor(t))
    assert a.tolist() == [[0, 3], [1, 4], [2, 5]] and a.dtype == np.float64
    assert lib.ct_fill(t, 7) == 0 and a[2, 1] == 7  # shared
    frozen = np.from_dlpack(Tensor(t, writable=False))
    assert not frozen.flags.writeable
    assert lib.ct_scope_end(s) == 0
    assert a.tolist() == [[7, 7]] * 3  # outlives the scope

    s = lib.ct_scope_begin()
    b = np.arange(12, dtype=np.float32).reshape(3, 4)
    t = take(b[:, ::2].__dlpack__(max_version=(1, 0)))
    assert values(t, ctypes.c_float, 6) == [0, 2, 4, 6, 8, 10]
    assert lib.ct_fill(t, -1) == 0 and b[1, 2] == -1 and b[1, 3] == 7
    count = sys.getrefcount(b)
    b.flags.writeable = False
    t = take(b.__dlpack__(max_version=(1, 0)))
    assert lib.ct_fill(t, 0) != 0
    refused("read-only")
    assert sys.getrefcount(b) > count
    assert not take(b[::-1].__dlpack__(max_version=(1, 0)))
    refused("strides[0]")
    assert not take(b.astype(np.complex64).__dlpack__(max_version=(1, 0)))
    refused("dtype code")
    for dtype in (np.float32, np.float64, np.int32, np.int64, np.bool_):
        assert take(np.ones(3, dtype).__dlpack__(max_version=(1, 0))), dtype
    assert lib.ct_scope_end(s) == 0
    gc.collect()
    print("dlpack.py: NumPy", np.__version__, "shares memory both ways")


def check_torch(torch):
    s = lib.ct_scope_begin()
    t = lib.ct_arange(0, 4, 1, F32, 0)
    a = torch.from_dlpack(Tensor(t))
    a += 1
    assert values(t, ctypes.c_float, 4) == [1, 2, 3, 4]
    half = torch.from_dlpack(Tensor(lib.ct_cast(t, BF16)))
    assert half.dtype == torch.bfloat16 and half.tolist() == [1, 2, 3, 4]
    for capsule in (torch.arange(6.0).reshape(2, 3).T.__dlpack__(),
                    torch.arange(6.0).reshape(2, 3).T.__dlpack__(max_version=(1, 0))):
        u = take(capsule)
        assert values(lib.ct_mul_scalar(u, 2), ctypes.c_float, 6) == [0, 6, 2, 8, 4, 10]
    u = take(torch.ones(1).expand(3).__dlpack__())
    assert u and lib.ct_fill(u, 0) != 0
    refused("share memory")
    assert lib.ct_scope_end(s) == 0
    assert a.tolist() == [1, 2, 3, 4]
    print("dlpack.py: PyTorch", torch.__version__, "shares memory both ways")


def found(name):
    try:
        return __import__(name)
    except ImportError:
        print("dlpack.py: %s is not installed" % name)
        return None


numpy, torch = found("numpy"), found("torch")
if numpy:
    check_numpy(numpy)
if torch:
    check_torch(torch)
sys.exit(0 if numpy or torch else 77)
