package pickle

import "strings"

// Class says what a global that a pickle names may be used for.
type Class uint8

// Classes of globals.
const (
	Allowed Class = iota // plain arrays and containers, which run nothing of the publisher's
	Unknown              // a class or function that is neither
	Code                 // can run code, start programs, read files or talk to a network
)

var allowed = words(`
collections.OrderedDict collections.defaultdict collections.deque collections.Counter
builtins.set builtins.frozenset builtins.bytearray builtins.complex builtins.slice builtins.range builtins.dict builtins.list
builtins.tuple builtins.int builtins.float builtins.bool builtins.str builtins.bytes builtins.object
__builtin__.set __builtin__.frozenset __builtin__.bytearray __builtin__.complex __builtin__.slice __builtin__.xrange
__builtin__.dict __builtin__.list __builtin__.tuple __builtin__.int __builtin__.long __builtin__.float __builtin__.bool
__builtin__.str __builtin__.unicode __builtin__.object
copyreg._reconstructor copy_reg._reconstructor _codecs.encode
numpy.core.multiarray._reconstruct numpy._core.multiarray._reconstruct numpy.core.multiarray.scalar numpy._core.multiarray.scalar
numpy.core.numeric._frombuffer numpy._core.numeric._frombuffer
numpy.ndarray numpy.dtype numpy.bool_ numpy.int8 numpy.int16 numpy.int32 numpy.int64 numpy.uint8 numpy.uint16 numpy.uint32
numpy.uint64 numpy.float16 numpy.float32 numpy.float64 numpy.complex64 numpy.complex128 numpy.random._pickle.__generator_ctor
numpy.matrix numpy.ma.core._mareconstruct numpy.ma.core.MaskedArray
torch._utils._rebuild_tensor torch._utils._rebuild_tensor_v2 torch._utils._rebuild_tensor_v3 torch._utils._rebuild_parameter
torch._utils._rebuild_qtensor torch._utils._rebuild_sparse_tensor torch.Size torch.device torch.dtype torch.Tensor torch.serialization._get_layout
torch.nn.parameter.Parameter torch._tensor._rebuild_from_type_v2 torch.storage.UntypedStorage torch.storage.TypedStorage
torch.float32 torch.float64 torch.float16 torch.bfloat16 torch.int8 torch.int16 torch.int32 torch.int64 torch.uint8 torch.bool
datetime.datetime datetime.date datetime.timedelta datetime.timezone decimal.Decimal fractions.Fraction uuid.UUID
joblib.numpy_pickle.NumpyArrayWrapper
`)

var codeModules = words(`
os posix nt subprocess _posixsubprocess sys builtins __builtin__ __builtins__ socket _socket shutil importlib imp runpy pty ctypes
_ctypes cffi code codeop codecs pickle _pickle cPickle dill cloudpickle marshal types operator _operator functools webbrowser
timeit bdb pdb cProfile profile trace asyncio threading _thread multiprocessing concurrent requests urllib urllib2 http ssl smtplib
ftplib telnetlib xmlrpc aiohttp httpx paramiko pip idlelib distutils setuptools lib2to3 tempfile io _io pathlib glob site zipimport
inspect gc doctest platform commands pkgutil pydoc venv ensurepip signal sched atexit warnings linecache tarfile zipfile sqlite3 logging
unittest test turtle tkinter curses pexpect sh fabric invoke numexpr IPython jupyter nbformat
`)

var codeNames = words(`
torch.storage._load_from_bytes torch.hub.load torch.load torch.jit.load torch.ops.load_library torch.fx.graph_module.reduce_graph_module
torch.utils.cpp_extension.load torch._dynamo.guards.GuardBuilder torch.distributed.rpc.init_rpc torch.utils.collect_env.run
torch.utils.bottleneck.__main__.run_cprofile torch.serialization.load torch.package.PackageImporter
numpy.load numpy.testing._private.utils.runstring numpy.testing.runstring numpy.f2py.crackfortran.getlincoef numpy.f2py.compile
numpy.distutils.exec_command.exec_command numpy.ctypeslib.load_library numpy.core._internal._ctypes
pandas.read_pickle pandas.io.pickle.read_pickle pandas.eval pandas.core.computation.eval.eval joblib.load joblib.numpy_pickle.load
sklearn.externals.joblib.load sympy.parsing.sympy_parser.parse_expr sympy.sympify yaml.load yaml.unsafe_load keras.models.load_model
tensorflow.load_library tensorflow.python.framework.load_library.load_library jax.experimental.host_callback.call
`)

func words(s string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(s) {
		m[w] = true
	}
	return m
}

// Classify says what a global, module.name, may be used for.
func Classify(name string) Class {
	if allowed[name] || strings.HasPrefix(name, "torch.") && strings.HasSuffix(name, "Storage") && strings.Count(name, ".") <= 2 {
		return Allowed
	}
	top, _, _ := strings.Cut(name, ".")
	if codeModules[top] || codeNames[name] {
		return Code
	}
	for _, part := range strings.Split(name, ".")[1:] { // a dotted name may walk through a module: numpy.os.system
		if part == "os" || part == "sys" || part == "subprocess" || part == "builtins" || strings.HasPrefix(part, "__") && part != "__generator_ctor" {
			return Code
		}
	}
	return Unknown
}
