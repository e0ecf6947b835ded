"""Loading exported libraries and calling them: arguments, results, errors, closing, pickling, threads."""

from __future__ import annotations

import gc
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import loader_files as files
import ml_dtypes
import numpy as np
import pytest

import phalanx as px
from phalanx.dialects.errors import ArgumentError, ArtifactError, DeviceError, DTypeError, ShapeError
from phalanx.runtime import loader
from phalanx.runtime.sharing import sharing

ROOT = Path(__file__).resolve().parents[2]
X = np.random.default_rng(0).standard_normal((7, 64)).astype(np.float32)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


EXPECTED = softmax(X @ files.WEIGHTS)


@pytest.fixture(scope="module")
def predict():
    return px.load(files.predict_library())


@pytest.fixture(scope="module")
def many():
    return px.load(files.many_library())


def test_what_it_says_about_itself(predict):
    assert repr(predict) == "<predict(x: 'f32[n,64]') -> 'f32[n,10]' from digits.so>"
    assert predict.__name__ == "predict" and predict.dims == ("n",)
    assert predict.__doc__.startswith("Class probabilities.\n") and "Named sizes: n." in predict.__doc__


def test_results(predict):
    for rows in (7, 1, 0):
        result = predict(X[:rows])
        assert type(result) is np.ndarray and result.dtype == np.float32
        np.testing.assert_allclose(result, EXPECTED[:rows], rtol=1e-5)


class Producer:
    """Only DLPack."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **keywords):
        return self.array.__dlpack__(**keywords)

    def __dlpack_device__(self):
        return (1, 0)


@pytest.mark.parametrize("form", [
    px.asarray, Producer, lambda x: np.asfortranarray(x), lambda x: x.astype(">f4"), lambda x: x[::-1][::-1],
    lambda x: np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape),
    lambda x: np.broadcast_to(x, (1, *x.shape))[0],
], ids=["tensor", "dlpack", "columns", "swapped", "reversed", "misaligned", "read-only"])
def test_forms_of_arguments(predict, form):
    np.testing.assert_allclose(predict(form(X)), EXPECTED, rtol=1e-5)
    np.testing.assert_allclose(predict(x=form(X)), EXPECTED, rtol=1e-5)


def test_truth_values_are_made_0_or_1(many):
    odd = np.array([0, 2, 255, 1], np.uint8).view(np.bool_)
    result = many.combine({"w": np.ones(2, np.float32), "b": np.zeros(2, np.float32)}, 2.0, odd)
    np.testing.assert_array_equal(result["pair"][0].view(np.uint8), [0, 1, 1, 1])


def test_structures(many):
    params = {"b": np.ones(3, np.float32), "w": np.arange(3, dtype=np.float32)}
    result = many["combine"](params, scale=2, flag=np.ones(2, bool))
    assert list(result) in (["sum", "pair"], ["pair", "sum"]) and type(result["pair"]) is tuple
    np.testing.assert_array_equal(result["sum"], [1, 3, 5])
    assert result["pair"][1].shape == () and result["pair"][1] == 3
    for wrong, text in (({"w": params["w"]}, "must be a dict with"), ([1, 2], "got list"),
                        ({**params, "c": 1}, "must be a dict with")):
        with pytest.raises(ArgumentError, match=text):
            many.combine(wrong, 1.0, np.ones(2, bool))


def test_several_functions(many):
    assert len(many) == 6 and repr(many).startswith("<library many.so: combine, product")
    assert many.product(np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)).tolist() == [[3.0] * 4] * 2
    a, b = many.fixed(np.full((2, 3), 3.0), np.full((2, 3), 2.0))
    assert (a == 5).all() and (b == 6).all()
    np.testing.assert_array_equal(many.constant(), [1, 2])
    np.testing.assert_array_equal(many.first_four(np.arange(9, dtype=np.int16)), [0, 1, 2, 3])
    half = many.narrow(np.array([1.5, 2], ml_dtypes.bfloat16))
    assert half.dtype == ml_dtypes.bfloat16 and half.astype(float).tolist() == [3.0, 4.0]
    with pytest.raises(ArgumentError, match="has no function 'train'"):
        many["train"]
    with pytest.raises(AttributeError, match="functions are combine"):
        many.train
    assert px.load(files.many_library(), "product").__name__ == "product"
    assert [f.__name__ for f in px.load(files.predict_library(), library=True)] == ["predict"]


# Errors of calls.
def test_all_mismatches_at_once(many):
    with pytest.raises(ShapeError) as caught:
        many.product(np.ones((2, 3)), np.ones((4, 4), np.float32))
    assert str(caught.value).startswith("product: 2 arguments do not fit")
    assert "argument 'x' must be f32[a,b], got f64[2,3]" in str(caught.value)
    assert "argument 'y' must be f32[b,c], got f32[4,4] where b = 3 (from 'x' axis 1)" in str(caught.value)


@pytest.mark.parametrize(("value", "kind", "text"), [
    (X.astype(np.float64), DTypeError, r"must be f32\[n,64\], got f64\[7,64\]"),
    (X.astype(np.complex64), DTypeError, r"got complex64\[7,64\]"),
    (X.astype(object), DTypeError, r"got object\[7,64\]"),
    (X[0], ShapeError, r"got f32\[64\]"),
    (X[:, :3], ShapeError, r"got f32\[7,3\]"),
    ([[1.0]], DTypeError, r"argument 'x' must be an array f32\[n,64\], got list"),
    (None, DTypeError, "got NoneType"),
    (1.5, DTypeError, "got the number 1.5"),
    (np.ma.masked_array(X), DTypeError, "without a mask"),
])
def test_wrong_arguments(predict, value, kind, text):
    with pytest.raises(kind, match=text):
        predict(value)


class Elsewhere:
    """An array on a graphics card, as DLPack describes it."""

    def __dlpack_device__(self):
        return 2, 0

    def __dlpack__(self, **_):
        raise AssertionError("nothing asks for the memory of another device")


def test_arrays_of_another_device(predict):
    with pytest.raises(DeviceError, match=r"argument 'x' must be an array f32\[n,64\] on the host: .*device \(2, 0\)"):
        predict(Elsewhere())


def test_wrong_numbers(many):
    params = {"w": np.ones(2, np.float32), "b": np.ones(2, np.float32)}
    flag = np.ones(1, bool)
    assert many.combine(params, 1, flag)["sum"].tolist() == [2, 2]
    for number in (True, "1", 1j):
        with pytest.raises(DTypeError, match="'scale' must be"):
            many.combine(params, number, flag)


def test_wrong_counts_and_names(predict):
    with pytest.raises(ArgumentError, match="too many positional"):
        predict(X, X)
    with pytest.raises(ArgumentError, match="missing a required argument: 'x'"):
        predict()
    with pytest.raises(ArgumentError, match="unexpected keyword argument 'y'"):
        predict(X, y=1)


def test_sizes_a_function_refuses(many):
    with pytest.raises(ShapeError, match="first_four: .*n = 3"):
        many.first_four(np.ones(3, np.int16))


# out=
def test_results_written_to_given_arrays(predict, many):
    out = np.full((7, 10), np.nan, np.float32)
    assert predict(X, out=out) is out
    np.testing.assert_allclose(out, EXPECTED, rtol=1e-5)
    a, b = np.empty((2, 3)), np.empty((2, 3))
    many.fixed(np.ones((2, 3)), np.ones((2, 3)), out=(a, b))
    assert a.sum() == 12 and b.sum() == 6


@pytest.mark.parametrize(("out", "text"), [
    (np.empty((6, 10), np.float32), r"'result' must be f32\[7,10\], got f32\[6,10\]"),
    (np.empty((7, 10)), "got f64"),
    (np.empty((10, 7), np.float32).T, "contiguous"),
    (np.broadcast_to(np.float32(0), (7, 10)), "read-only"),
    ([1.0], "must be a NumPy array, got float"),
    (np.empty((7, 10), ">f4"), "must be f32"),
])
def test_arrays_that_cannot_take_results(predict, out, text):
    with pytest.raises(ShapeError, match=text):
        predict(X, out=out)


def test_overlap_of_results_with_arguments_is_refused(many):
    square = np.ones((3, 3), np.float32)
    with pytest.raises(ArgumentError, match=r"overlaps.*'result' with 'x'"):
        many.product(square, np.ones((3, 3), np.float32), out=square)
    with pytest.raises(ArgumentError, match="out= takes 2 arrays, got 1"):
        many.fixed(np.ones((2, 3)), np.ones((2, 3)), out=np.empty((2, 3)))


# Life.
def test_closing(tmp_path):
    with px.load(files.predict_library(), library=True) as library:
        function = library.predict
        assert function(X).shape == (7, 10)
    with pytest.raises(DeviceError, match="digits.so was closed"):
        function(X)
    library.close()


def mapped(name: str) -> bool:
    return name in Path("/proc/self/maps").read_text()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_code_is_unmapped_when_nothing_refers_to_it(tmp_path):
    path = tmp_path / "unique_name.so"
    shutil.copy(files.predict_library(), path)
    function = px.load(path)
    assert function(X).shape == (7, 10) and mapped(path.name)
    gc.collect()  # what earlier tests left
    before = len(os.listdir("/proc/self/fd"))
    del function
    gc.collect()
    assert not mapped(path.name)
    assert len(os.listdir("/proc/self/fd")) == before - 1


def test_a_call_survives_closing_by_another_thread():
    path = files.predict_library()
    large = np.ones((4000, 64), np.float32)
    failures = []

    def call(function):
        try:
            for _ in range(1000):
                function(large)
        except DeviceError as error:
            failures.append(str(error))

    for _ in range(3):
        library = px.load(path, library=True)
        worker = threading.Thread(target=call, args=(library.predict,))
        worker.start()
        time.sleep(0.02)
        library.close()
        del library
        gc.collect()
        worker.join()
    assert len(failures) == 3 and all("was closed" in text for text in failures)


def test_a_file_replaced_by_another_is_loaded_anew(tmp_path):
    path = tmp_path / "f.so"
    px.export(lambda x: x + 1, path, "f32[n]", name="f", target="x86-64-v2")
    first = px.load(path)
    px.export(lambda x: x * 10, path, "f32[n]", name="f", target="x86-64-v2")
    second = px.load(path)
    two = np.full(1, 2, np.float32)
    assert (first(two)[0], second(two)[0]) == (3, 20)
    with pytest.raises(ArtifactError, match="changed after it was loaded"):
        pickle.dumps(first)


def test_pickling(tmp_path, many):
    path = tmp_path / "copy.so"
    shutil.copy(files.predict_library(), path)
    data = pickle.dumps(px.load(path))
    np.testing.assert_allclose(pickle.loads(data)(X), EXPECTED, rtol=1e-5)
    assert pickle.loads(pickle.dumps(many)).product is not None
    path.write_bytes(files.many_library().read_bytes())
    with pytest.raises(ArtifactError, match="not the file that was pickled"):
        pickle.loads(data)
    path.unlink()
    with pytest.raises(ArtifactError, match="No such file"):
        pickle.loads(data)


def test_threads_share_a_function(predict):
    inputs = [np.random.default_rng(i).standard_normal((50, 64)).astype(np.float32) for i in range(4)]
    wrong = []

    def work(x):
        expected = softmax(x @ files.WEIGHTS)
        for _ in range(50):
            if not np.allclose(predict(x), expected, rtol=1e-4):
                wrong.append(x)

    workers = [threading.Thread(target=work, args=(x,)) for x in inputs]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def longest_pause(worker):
    """Seconds for which this thread did not get to run while `worker` did."""
    longest, last = 0.0, time.perf_counter()
    worker.start()
    while worker.is_alive():
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    worker.join()
    return longest


def test_the_gil_is_released(predict):
    large = np.ones((300_000, 64), np.float32)
    out = np.empty((300_000, 10), np.float32)
    ratios = []
    for _ in range(5):  # a busy machine makes pauses of its own
        start = time.perf_counter()
        predict(large, out=out)
        alone = time.perf_counter() - start
        ratios.append(longest_pause(threading.Thread(target=lambda: predict(large, out=out))) / alone)
        if ratios[-1] < 0.6:
            return
    raise AssertionError(f"the main thread stood still for {ratios} of the time native code ran")


def test_only_numpy_is_imported():
    """What runtime/loader.py imports, package initialisers aside."""
    code = f"""
import importlib.abc, sys, types
for name in ("phalanx", "phalanx.dialects", "phalanx.runtime"):
    module = types.ModuleType(name)
    module.__path__ = [r"{ROOT}/" + name.replace("phalanx", "phalanx", 1).replace(".", "/")]
    sys.modules[name] = module
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("mlir", "ml_dtypes", "optree", "array_api_compat", "rich", "typer"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
from phalanx.runtime import loader
from phalanx.runtime.sharing import sharing
import numpy as np
print(loader.load(r"{files.predict_library()}")(np.ones((2, 64), np.float32)).sum())
try:
    loader.load(r"{files.many_library()}")
except Exception as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    total, *rest = done.stdout.splitlines()
    assert abs(float(total) - 2) < 1e-5
    assert "narrow: 'x' is bf16[n], which NumPy knows only with ml_dtypes" in rest[0]


def test_loading_compiles_nothing(predict):
    with px.no_compile():
        np.testing.assert_allclose(loader.load(files.predict_library())(X), EXPECTED, rtol=1e-5)


# Threads inside one call.
@pytest.fixture(scope="module")
def shared_library():
    """A loop over a million numbers, which is worth sharing."""
    return px.export(lambda x: px.tanh(x) * px.sin(x), files.folder() / "wide.so", "f32[n]", name="wide",
                     target="x86-64-v2").files["so"]


def test_loops_are_shared_among_threads(shared_library, monkeypatch):
    from phalanx.runtime.sharing import Sharing

    counts = []
    usual = Sharing._run
    monkeypatch.setattr(Sharing, "_run", lambda self, user, count, *rest: counts.append(count) or usual(
        self, user, count, *rest))
    sharing.cache_clear()  # callbacks hold the method they were made with
    x = np.linspace(-3, 3, 1 << 21, dtype=np.float32)
    alone = px.load(shared_library)(x)
    assert counts == []
    for threads in (2, 3, 7):
        function = px.load(shared_library, threads=threads)
        np.testing.assert_array_equal(function(x), alone)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(function))(x), alone)
        assert pickle.loads(pickle.dumps(function)).library.threads == threads
    assert counts and all(count > 1 for count in counts)
    sharing.cache_clear()


def test_sharing_works_in_a_forked_child_and_from_several_threads(shared_library):
    x = np.linspace(-3, 3, 1 << 20, dtype=np.float32)
    function = px.load(shared_library, threads=2)
    expected = function(x)
    wrong = []
    workers = [threading.Thread(target=lambda: wrong.extend([] if (function(x) == expected).all() else [1]))
               for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
    code = (f"import os, numpy as np, phalanx as px\nf = px.load(r'{shared_library}', threads=2)\n"
            "x = np.ones(1 << 20, np.float32)\nexpected = f(x)\nchild = os.fork()\n"
            "if not child:\n    os._exit(0 if (f(x) == expected).all() else 1)\n"
            "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)
    assert done.stdout.strip() == "0", done.stderr


@pytest.mark.parametrize("worth", [0.0, 3600.0])
def test_every_number_is_done_once(worth, monkeypatch):
    import ctypes

    from phalanx.runtime import sharing as module

    monkeypatch.setattr(module, "_WORTH_SHARING", worth)
    for threads, count in ((1, 5), (2, 5), (4, 3), (3, 0), (5, 100)):
        done = []
        task = module._Task(lambda context, begin, end, lane, done=done: done.append((begin, end, lane)))
        made = module.Sharing(threads)
        lanes = set()
        for _ in range(5):  # the first time on one thread, to see how long it takes
            done.clear()
            module._ParallelFor(made.address)(None, count, ctypes.cast(task, ctypes.c_void_p), None)
            numbers = sorted(number for begin, end, _ in done for number in range(begin, end))
            assert numbers == list(range(count))
            lanes |= {lane for _, _, lane in done}
        assert lanes <= ({0} if worth else set(range(min(threads, max(count, 1)))))
        if not worth and count:
            assert lanes == set(range(min(threads, count)))


def test_loops_at_the_same_time_have_the_threads_between_them(monkeypatch):
    import ctypes

    from phalanx.runtime import sharing as module

    monkeypatch.setattr(module, "_WORTH_SHARING", 0.0)
    done = []
    task = module._Task(lambda context, begin, end, lane: done.extend(range(begin, end)))
    made = module.Sharing(3)

    def work():
        for _ in range(50):
            module._ParallelFor(made.address)(None, 10, ctypes.cast(task, ctypes.c_void_p), None)

    callers = [threading.Thread(target=work) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert sorted(done) == sorted(list(range(10)) * 200)
    assert made._workers <= 2
    with pytest.raises(ArgumentError, match="threads must be at least 1, got 0"):
        px.load(files.predict_library(), threads=0)
