package python

import (
	"regexp"
	"strings"
)

// builtins are the names that code finds without importing anything, as far as
// the analysis has a use for them.
var builtins = set("eval exec execfile compile open getattr setattr delattr globals locals vars __import__ __builtins__ __loader__ input breakpoint chr ord str bytes bytearray list tuple reversed memoryview int map file")

func set(words string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		m[w] = true
	}
	return m
}

// otherNames are modules that are the same as others.
var otherNames = map[string]string{
	"posix": "os", "nt": "os", "_socket": "socket", "_pickle": "pickle", "cPickle": "pickle", "pickle5": "pickle", "_ctypes": "ctypes",
	"__builtins__": "builtins", "__builtin__": "builtins", "_io": "io", "commands": "subprocess", "urllib2": "urllib.request",
	"httplib": "http.client", "_ssl": "ssl", "_imp": "imp", "_thread": "threading", "importlib._bootstrap": "importlib",
	"dill._dill": "dill", "torch.serialization": "torch", "_posixsubprocess": "subprocess",
}

var inner = regexp.MustCompile(`^.*[^.]\.(os|sys|subprocess|builtins|socket|importlib|pickle|ctypes|marshal)\.`)

// canonical is one spelling for the many of a dotted name.
func canonical(name string) string {
	name = strings.TrimPrefix(name, "six.moves.")
	for old, now := range otherNames {
		if rest, ok := strings.CutPrefix(name, old); ok && (rest == "" || rest[0] == '.') {
			name = now + rest
			break
		}
	}
	if m := inner.FindStringSubmatch(name); m != nil && !strings.HasPrefix(name, ".") { // shutil.os.system
		name = name[len(m[0])-len(m[1])-1:]
	}
	if rest, ok := strings.CutPrefix(name, "builtins."); ok && rest != "" {
		name = rest
	}
	if rest, ok := strings.CutPrefix(name, "pathlib._local."); ok {
		name = "pathlib." + rest
	}
	return name
}

// function says what calling a dotted name means.
type function struct {
	rule    string
	passive bool // naming it, or calling it on import, is nothing to report
}

// functions are exact names.
var functions = func() map[string]function {
	m := map[string]function{}
	add := func(rule, words string) {
		for w := range strings.FieldsSeq(words) {
			m[w] = function{rule: rule}
		}
	}
	quiet := func(rule, words string) {
		for w := range strings.FieldsSeq(words) {
			m[w] = function{rule: rule, passive: true}
		}
	}
	add("B102", "exec execfile compile code.interact code.InteractiveInterpreter code.InteractiveConsole runpy.run_path runpy.run_module types.FunctionType types.CodeType timeit.timeit timeit.repeat codeop.compile_command IPython.embed builtins.exec imp.load_source imp.load_compiled importlib.machinery.SourceFileLoader importlib.machinery.SourcelessFileLoader zipimport.zipimporter runpy._run_code runpy._run_module_code cProfile.run cProfile.runctx profile.run profile.runctx pdb.run pdb.runeval bdb.Bdb().run trace.Trace().run trace.Trace().runctx timeit.Timer numpy.testing.runstring numpy.testing.rundocs site.addsitedir tkinter.Tcl().eval")
	add("B307", "eval pandas.eval numexpr.evaluate sympy.sympify sympy.parsing.sympy_parser.parse_expr logging.config.fileConfig")
	add("B302", "marshal.loads marshal.load")
	for _, m := range []string{"pickle", "dill", "cloudpickle"} {
		quiet("B301", m+".loads "+m+".load "+m+".Unpickler")
	}
	quiet("B301", "joblib.load pandas.read_pickle shelve.open jsonpickle.decode jsonpickle.loads jsonpickle.unpickler.decode sklearn.externals.joblib.load torch.utils.data.datapipes.utils.decoder.basichandlers multiprocessing.reduction.ForkingPickler.loads skops.io.load hickle.load klepto.archives.file_archive")
	quiet("B614", "torch.jit.load torch.package.PackageImporter")
	quiet("B506", "yaml.unsafe_load yaml.unsafe_load_all yaml.full_load ruamel.yaml.YAML().load_unsafe")
	add("B310", "urllib.request.urlopen urllib.request.urlretrieve urllib.request.Request urllib.request.URLopener urllib.request.FancyURLopener urllib.request.build_opener urllib.request.install_opener urllib.urlopen urllib.urlretrieve")
	add("B605", "os.system os.popen os.popen2 os.popen3 subprocess.getoutput subprocess.getstatusoutput os.startfile pty.spawn asyncio.create_subprocess_shell popen2.popen2 subprocess.create_subprocess_shell pydoc.pipepager pydoc.tempfilepager mailcap.findmatch")
	add("B603", "subprocess.run subprocess.call subprocess.check_call subprocess.check_output subprocess.Popen asyncio.create_subprocess_exec pexpect.spawn pexpect.run sh.Command plumbum.local distutils.spawn.spawn setuptools.distutils.spawn.spawn subprocess.fork_exec asyncio.subprocess.create_subprocess_exec asyncio.get_event_loop().subprocess_exec invoke.run subprocess.create_subprocess_exec trio.run_process trio.open_process trio.lowlevel.open_process anyio.run_process anyio.open_process venv.create venv.EnvBuilder setuptools._distutils.spawn.spawn test.support.script_helper.spawn_python test.support.script_helper.assert_python_ok")
	add("B606", "os.execl os.execle os.execlp os.execlpe os.execv os.execve os.execvp os.execvpe os.spawnl os.spawnle os.spawnlp os.spawnlpe os.spawnv os.spawnve os.spawnvp os.spawnvpe os.posix_spawn os.posix_spawnp os.fork os.forkpty pty.fork os.kill os.killpg multiprocessing.util.spawnv_passfds")
	quiet("thread", "threading.Thread threading.Timer threading.start_new_thread multiprocessing.Process multiprocessing.Pool concurrent.futures.ThreadPoolExecutor concurrent.futures.ProcessPoolExecutor atexit.register signal.signal os.daemon weakref.finalize")
	add("native-load", "ctypes.CDLL ctypes.cdll.LoadLibrary ctypes.PyDLL ctypes.WinDLL ctypes.OleDLL ctypes.pythonapi ctypes.util.find_library ctypes.CFUNCTYPE ctypes.string_at ctypes.memmove ctypes.cast ctypes.windll cffi.FFI().dlopen cffi.FFI().verify cffi.FFI().cdef numpy.ctypeslib.load_library torch.ops.load_library torch.utils.cpp_extension.load torch.utils.cpp_extension.load_inline tensorflow.load_op_library tensorflow.load_library imp.load_dynamic mmap.PROT_EXEC onnxruntime.SessionOptions().register_custom_ops_library cppyy.cppdef ctypes.cdll ctypes.CDLL() importlib.machinery.ExtensionFileLoader torch.classes.load_library os.add_dll_directory")
	add("network", "socket.socket socket.create_connection socket.create_server socket.fromfd socket.socketpair socket.getaddrinfo socket.gethostbyname socket.gethostbyname_ex asyncio.open_connection asyncio.start_server asyncio.open_unix_connection webbrowser.open webbrowser.open_new multiprocessing.connection.Client multiprocessing.connection.Listener logging.handlers.SocketHandler logging.handlers.HTTPHandler logging.handlers.SMTPHandler logging.handlers.SysLogHandler logging.handlers.DatagramHandler torch.distributed.init_process_group torch.distributed.rpc.init_rpc tensorflow.distribute.Server pandas.read_html mlflow.set_tracking_uri wandb.init wandb.log wandb.login sentry_sdk.init comet_ml.Experiment neptune.init_run clearml.Task.init ray.init dask.distributed.Client concurrent.futures.interpreter logging.config.listen trio.open_tcp_stream anyio.connect_tcp torch.distributed.TCPStore socket.gethostbyaddr")
	add("B615", "torch.hub.load torch.hub.load_state_dict_from_url torch.hub.download_url_to_file torch.utils.model_zoo.load_url huggingface_hub.hf_hub_download huggingface_hub.snapshot_download huggingface_hub.login datasets.load_dataset tensorflow_hub.load tensorflow_hub.KerasLayer tensorflow.keras.utils.get_file keras.utils.get_file keras.utils.data_utils.get_file torchvision.datasets.utils.download_url torchvision.datasets.utils.download_and_extract_archive kagglehub.dataset_download gdown.download wget.download timm.create_model pip.main pip._internal.main pip._internal.cli.main.main ensurepip.bootstrap")
	quiet("host-facts", "socket.gethostname socket.getfqdn platform.node platform.uname os.uname os.getlogin getpass.getuser getpass.getpass uuid.getnode uuid.uuid1 psutil.users psutil.net_if_addrs pwd.getpwuid pwd.getpwall pwd.getpwnam")
	quiet("env", "os.getenv os.getenvb os.putenv os.unsetenv dotenv.load_dotenv")
	quiet("file-delete", "shutil.rmtree os.remove os.unlink os.rmdir os.removedirs pathlib.Path().unlink pathlib.Path().rmdir os.truncate")
	quiet("file-outside", "os.path.expanduser pathlib.Path.home pathlib.Path().expanduser pathlib.Path.expanduser os.chroot os.symlink os.link os.mkfifo os.mknod")
	quiet("B202", "tarfile.open().extractall tarfile.TarFile().extractall zipfile.ZipFile().extractall tarfile.TarFile.open().extractall shutil.unpack_archive tarfile.open().extract zipfile.ZipFile().extract")
	quiet("introspection", "sys._getframe sys._current_frames sys.settrace sys.setprofile sys.addaudithook gc.get_objects gc.get_referrers inspect.currentframe inspect.stack inspect.getouterframes threading.settrace sys.breakpointhook breakpoint sys.unraisablehook ctypes.pythonapi.PyThreadState_SetAsyncExc _xxsubinterpreters.run_string sys.monitoring.register_callback")
	return m
}()

// networkModules talk to networks: importing one is worth knowing, calling
// anything in it more.
var networkModules = set("socket ssl http.client http.server urllib.request urllib3 requests httpx aiohttp websocket websockets ftplib smtplib telnetlib poplib imaplib nntplib xmlrpc paramiko fabric pycurl grpc zmq pika redis boto3 botocore google.cloud azure kafka paho dns scapy socketserver wandb mlflow sentry_sdk comet_ml neptune clearml huggingface_hub ray webbrowser uvicorn flask fastapi tornado twisted pymongo psycopg2 pymysql mysql sqlalchemy minio kagglehub gdown wget stem nmap ldap3 slack_sdk telegram discord tweepy pyngrok asyncssh pysftp scp pexpect.pxssh torch.distributed.rpc aioquic curl_cffi treq gevent.socket eventlet impacket fsspec s3fs gcsfs adlfs smart_open socks prometheus_client opentelemetry gradio streamlit asyncore asynchat antigravity")

// harmless are calls into network modules that send nothing.
var harmless = set("ssl.create_default_context requests.exceptions requests.Request http.client.HTTPException ssl.SSLContext socket.timeout socket.error socket.gethostname socket.getfqdn socket.inet_aton socket.inet_ntoa socket.htons socket.ntohs socket.setdefaulttimeout urllib3.disable_warnings dns.name sqlalchemy.Column")

// networkPrefix is the network module that a dotted name belongs to.
func networkPrefix(name string) (string, bool) {
	for n := name; n != ""; {
		if networkModules[n] {
			return n, true
		}
		i := strings.LastIndexByte(n, '.')
		if i < 0 {
			break
		}
		n = n[:i]
	}
	return "", false
}

// known reports whether calling a dotted name means anything to us.
func known(name string) bool {
	if _, ok := functions[name]; ok {
		return true
	}
	if _, ok := decoders[name]; ok {
		return true
	}
	_, ok := networkPrefix(name)
	return ok || name == "os.environ"
}

// dangerous reports whether a name is one that nobody has to hide.
func dangerous(name string) bool {
	f, ok := functions[name]
	if ok && !f.passive {
		return true
	}
	if ok && (f.rule == "B301" || f.rule == "introspection") {
		return true
	}
	switch name {
	case "os", "subprocess", "socket", "ctypes", "builtins", "pty", "marshal", "pickle", "code", "importlib", "__import__":
		return true
	}
	_, net := networkPrefix(name)
	return net && !harmless[name]
}

// innards are attributes that lead into the interpreter.
var innards = set("__subclasses__ __globals__ __code__ __closure__ __builtins__ f_globals f_locals f_back f_builtins gi_frame cr_frame tb_frame func_globals func_code co_code __loader__ __getattribute__ __import__ _getframe __mro__ __bases__ __base__")

// fetchers read from whatever their first argument names, URLs included.
var fetchers = set("numpy.genfromtxt numpy.loadtxt numpy.DataSource().open xml.sax.parse lxml.etree.parse lxml.html.parse xml.dom.minidom.parse")

// methods are what a method's name alone says, whatever it belongs to.
var methods = map[string]string{
	"run_cell": "B102", "runcode": "B102", "runsource": "B102", "exec_module": "B102", "load_module": "B102",
	"subprocess_shell": "B605", "subprocess_exec": "B603",
	"create_datagram_endpoint": "network", "create_unix_connection": "network", "create_unix_server": "network",
	"load_extension": "native-load", "enable_load_extension": "native-load",
	"extractall": "B202",
}
