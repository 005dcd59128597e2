package python

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// maxDotted is the longest dotted name that is followed, in bytes.
const maxDotted = 300

// attribute is v.name.
func (a *analysis) attribute(v value, name string, line int) value {
	if innards[name] && v.path != "self" && v.path != "super" && v.path != "cls" {
		a.report("introspection", line, name)
	}
	if len(v.text) > maxDotted && v.kind == vRef || len(v.path) > maxDotted {
		return value{}
	}
	switch v.kind {
	case vRef:
		full := canonical(v.text + "." + name)
		if full == "os.environ" || full == "os.environb" {
			a.report("env", line, full)
		}
		out := ref(full)
		out.hidden = v.hidden
		if name == "__call__" {
			return v
		}
		if name == "__dict__" {
			out.text = v.text + ".__dict__"
		}
		return out
	case vText, vBytes, vDecoded:
		v.path = "." + name // a method; call folds it
		return v
	}
	if v.path == "" {
		return value{}
	}
	path := v.path + "." + name
	if w := a.lookup(path); w.kind != vUnknown {
		return w
	}
	return value{path: path}
}

// item is v[key], and the ways to reach a name by its text.
func (a *analysis) item(v, key value, line int) value {
	if v.kind != vRef {
		return index(v, key)
	}
	switch v.text {
	case "globals()", "locals()", "vars()", "builtins", "builtins.__dict__", "__dict__":
		if !key.isText() {
			a.report("dynamic-attribute", line, v.text+"[…]")
			return value{}
		}
		if strings.HasPrefix(v.text, "globals") || strings.HasPrefix(v.text, "locals") || v.text == "vars()" {
			if key.text == "__builtins__" {
				return value{kind: vRef, text: "builtins", hidden: true}
			}
			out := a.lookup(key.text)
			out.hidden = true
			return out
		}
		return value{kind: vRef, text: canonical("builtins." + key.text), hidden: true}
	case "sys.modules":
		if key.isText() {
			return value{kind: vRef, text: canonical(key.text), hidden: true}
		}
		return value{}
	}
	if module, ok := strings.CutSuffix(v.text, ".__dict__"); ok && key.isText() {
		return value{kind: vRef, text: canonical(module + "." + key.text), hidden: true}
	}
	if strings.HasPrefix(v.text, "vars()") && key.isText() {
		return value{}
	}
	if !key.isText() && key.kind != vNumber {
		return value{}
	}
	return ref(v.text + "[]")
}

// loaded is a name that stands there without being called: as an argument, a
// default, an entry of a table.
func (a *analysis) loaded(v value, line int) {
	if f, ok := functions[v.text]; ok && !f.passive && f.rule != "network" && v.text != "compile" {
		a.report(f.rule, line, v.text+" (named, to be called elsewhere)")
	}
	if v.hidden && dangerous(v.text) {
		a.report("hidden-name", line, v.text)
	}
}

// importing is an import of a module or of a name in one.
func (a *analysis) importing(name string, line int) {
	name = canonical(name)
	top, _, _ := strings.Cut(name, ".")
	if top != "" && !a.known[top] {
		a.known[top] = true
		a.imports = append(a.imports, top)
	}
	switch name {
	case "subprocess", "pty", "pexpect", "sh", "plumbum":
		a.report("B404", line, name)
	case "pickle", "dill", "cloudpickle", "shelve", "marshal", "jsonpickle", "joblib":
		a.report("B403", line, name)
	case "ctypes", "cffi", "cppyy":
		a.report("native-load", line, name)
	}
	if m, ok := networkPrefix(name); ok {
		a.report("network-import", line, m)
		if m == "antigravity" { // importing it is all that it takes
			a.active("network", line, m)
		}
	}
}

// call is v(args…).
func (a *analysis) call(v value, args []arg, line int) value {
	if v.isText() || v.kind == vDecoded {
		if name, ok := strings.CutPrefix(v.path, "."); ok {
			v.path = ""
			return method(v, name, args)
		}
	}
	if v.kind != vRef {
		a.shellArgument(v, args, line)
		return value{}
	}
	name := v.text
	if v.hidden && (dangerous(name) || known(name)) {
		a.report("hidden-name", line, name)
	}
	if out, ok := a.reach(name, args, line); ok {
		return out
	}
	if out, ok := builtin(name, args); ok {
		return out
	}
	if _, ok := decoders[name]; ok {
		a.report("decode", line, name)
		return decode(name, args)
	}
	a.effect(name, args, line)
	switch name {
	case "pathlib.Path", "os.path.join", "pathlib.PurePath", "os.fspath", "os.path.normpath", "os.path.abspath":
		return a.pathOf(name, args, line)
	case "functools.partial":
		if len(args) > 0 && args[0].val.kind == vRef {
			return args[0].val
		}
	case "operator.methodcaller", "operator.attrgetter":
		if len(args) > 0 && args[0].val.isText() && set("system popen loads exec eval spawn fork")[lastPart(args[0].val.text)] {
			a.report("hidden-name", line, args[0].val.text)
		}
	}
	return ref(name + "()")
}

func lastPart(s string) string { return s[strings.LastIndexByte(s, '.')+1:] }

// reach follows the calls by which code gets at names through text.
func (a *analysis) reach(name string, args []arg, line int) (value, bool) {
	text := func(i int) (string, bool) {
		if i < len(args) && args[i].val.kind == vText && args[i].name == "" {
			return args[i].val.text, true
		}
		return "", false
	}
	switch name {
	case "__import__", "importlib.import_module", "importlib.__import__", "imp.load_module", "importlib.util.find_spec", "pydoc.locate", "pkgutil.resolve_name":
		module, ok := text(0)
		if !ok {
			if len(args) > 0 && args[0].val.kind == vList {
				return value{}, true
			}
			a.report("dynamic-import", line, name)
			return value{}, true
		}
		full := canonical(strings.ReplaceAll(module, ":", "."))
		a.importing(full, line)
		if name == "__import__" && len(args) < 4 {
			full, _, _ = strings.Cut(full, ".")
			full = canonical(full)
		}
		if dangerous(full) || dangerous(strings.SplitN(full, ".", 2)[0]) {
			a.report("hidden-name", line, module)
		}
		return value{kind: vRef, text: full, hidden: true}, true
	case "getattr":
		if len(args) < 2 {
			return value{}, true
		}
		v := args[0].val
		attr, ok := text(1)
		switch {
		case ok && v.kind == vRef:
			if innards[attr] {
				a.report("introspection", line, attr)
			}
			return value{kind: vRef, text: canonical(v.text + "." + attr), hidden: true}, true
		case ok && innards[attr]:
			a.report("introspection", line, attr)
		case !ok && v.kind == vRef && (dangerous(v.text) || a.isModule(v.text)):
			a.report("dynamic-attribute", line, "getattr("+v.text+", …)")
			if dangerous(v.text) && args[1].val.made {
				a.report("hidden-name", line, v.text)
			}
		}
		return value{}, true
	case "setattr":
		if len(args) > 1 && args[0].val.kind == vRef {
			attr, _ := text(1)
			a.replaced(args[0].val.text+"."+attr, line)
		}
		return value{}, true
	case "vars":
		if len(args) == 1 && args[0].val.kind == vRef {
			return ref(args[0].val.text + ".__dict__"), true
		}
	case "globals().get", "locals().get", "vars().get", "builtins.__dict__.get", "sys.modules.get", "globals().__getitem__", "builtins.__getattribute__":
		if key, ok := text(0); ok {
			base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, ".get"), ".__getitem__"), ".__getattribute__")
			return a.item(ref(base), value{kind: vText, text: key}, line), true
		}
	}
	if module, ok := strings.CutSuffix(name, ".__getattribute__"); ok {
		if attr, ok := text(0); ok {
			return value{kind: vRef, text: canonical(module + "." + attr), hidden: true}, true
		}
	}
	if module, ok := strings.CutSuffix(name, ".__dict__.get"); ok {
		if attr, ok := text(0); ok {
			return value{kind: vRef, text: canonical(module + "." + attr), hidden: true}, true
		}
	}
	return value{}, false
}

// isModule tells whether a dotted name was imported as a module of the standard
// kind, which getattr with a made-up name picks functions from.
func (a *analysis) isModule(name string) bool {
	return a.known[name] && (name == "os" || name == "sys" || name == "shutil" || name == "pty")
}

// effect reports what a call does.
func (a *analysis) effect(name string, args []arg, line int) {
	by := func(key string) (value, bool) {
		for _, g := range args {
			if g.name == key {
				return g.val, true
			}
		}
		return value{}, false
	}
	truth := func(key string) bool {
		v, ok := by(key)
		return ok && (v.path == "True" || v.kind == vNumber && v.num != 0)
	}
	if f, ok := functions[name]; ok {
		rule := f.rule
		if rule == "B603" && (truth("shell") || len(args) > 0 && args[0].star) {
			rule = "B602"
		}
		if (rule == "B102" || rule == "B307") && len(args) > 0 {
			if name == "compile" && len(args) < 3 && len(args) > 0 && args[0].name == "" && !args[0].val.isText() && args[0].val.kind != vDecoded {
				return // compile(…) of something else, such as a model
			}
			if k := args[0].val; k.kind == vDecoded || k.made || k.kind == vRef && strings.HasSuffix(k.text, "()") && a.decodes(k.text) {
				a.active("obfuscated-exec", line, name)
			}
		}
		if f.passive {
			a.report(rule, line, name)
		} else {
			a.active(rule, line, name)
		}
		if rule == "B301" && len(args) > 0 && (args[0].val.kind == vDecoded || args[0].val.kind == vBytes) {
			a.active("obfuscated-exec", line, name)
		}
	} else if m, ok := networkPrefix(name); ok && !harmless[name] && !strings.Contains(strings.ToLower(lastPart(name)), "error") {
		switch m {
		case "telnetlib":
			a.active("B312", line, name)
		case "ftplib":
			a.active("B321", line, name)
		case "paramiko", "fabric", "asyncssh", "pysftp":
			if strings.Contains(name, "exec_command") || strings.Contains(name, ".run") {
				a.active("B601", line, name)
			}
			a.active("network", line, name)
		default:
			a.active("network", line, name)
		}
	}
	if functions[name].rule == "" {
		a.method1(name, args, line)
	}
	if truth("allow_pickle") {
		a.report("B301", line, name+" with allow_pickle")
	}
	switch name {
	case "sys.path.insert", "site.addsitedir":
		for _, g := range args {
			a.file1(g.val, line)
		}
	case "torch.load":
		if !truth("weights_only") {
			a.report("B614", line, name)
		}
	case "yaml.load", "yaml.load_all":
		loader, _ := by("Loader")
		if len(args) > 1 && args[1].name == "" {
			loader = args[1].val
		}
		if !strings.Contains(loader.text+loader.path, "Safe") && !strings.Contains(loader.text+loader.path, "Base") {
			a.report("B506", line, name)
		}
	case "os.chmod", "pathlib.Path().chmod":
		for _, g := range args {
			if g.val.kind == vNumber && g.val.num&0o022 != 0 {
				a.report("B103", line, fmt.Sprintf("mode 0o%o", g.val.num))
			}
		}
	case "keras.models.load_model", "tensorflow.keras.models.load_model", "keras.saving.load_model":
		if v, ok := by("safe_mode"); ok && v.path == "False" {
			a.report("B301", line, name+" with safe_mode off")
		}
	case "sys.meta_path.insert", "sys.meta_path.append", "sys.path_hooks.insert", "sys.path_hooks.append", "sys.modules.update", "sys.modules.__setitem__", "sys.modules.setdefault", "builtins.__dict__.update", "builtins.__setattr__":
		a.report("monkeypatch", line, name)
	case "os.environ.get", "os.environ.copy", "os.environ.items":
		a.report("env", line, name)
	}
	if v, ok := by("verify"); ok && (v.path == "False" || v.kind == vNumber && v.num == 0) {
		a.report("B501", line, name)
	}
	if strings.HasPrefix(name, "ssl._create_unverified_context") {
		a.report("B501", line, name)
	}
	if strings.HasSuffix(name, "set_missing_host_key_policy") {
		for _, g := range args {
			if strings.Contains(g.val.text, "AutoAddPolicy") || strings.Contains(g.val.text, "WarningPolicy") {
				a.report("B507", line, name)
			}
		}
	}
	if truth("trust_remote_code") {
		a.report("B615", line, name+" with trust_remote_code")
	}
	if strings.HasSuffix(name, ".from_pretrained") {
		a.report("B615", line, name)
	}
	if fileCalls[name] && len(args) > 0 {
		a.file1(args[0].val, line)
	}
}

// method1 reports what a method of an imported thing does by its name, and what
// fetches a URL.
func (a *analysis) method1(name string, args []arg, line int) {
	last := lastPart(name)
	if rule := methods[last]; rule != "" {
		a.report(rule, line, name)
	}
	if strings.HasPrefix(name, "asyncio.") && (last == "create_connection" || last == "create_server" || last == "sock_connect" || last == "getaddrinfo") {
		a.active("network", line, name)
	}
	reads := fetchers[name] || strings.HasPrefix(name, "pandas.read_") || strings.HasPrefix(last, "to_")
	if reads && len(args) > 0 && args[0].val.isText() && strings.Contains(args[0].val.text, "://") {
		a.active("network", line, name)
	}
}

// shellArgument finds what calls of unknown objects still show.
func (a *analysis) shellArgument(v value, args []arg, line int) {
	for _, g := range args {
		if g.name == "shell" && g.val.path == "True" {
			a.report("B602", line, v.path)
		}
		if g.name == "trust_remote_code" && g.val.path == "True" {
			a.report("B615", line, v.path+" with trust_remote_code")
		}
	}
	switch m := lastPart(v.path); m {
	case "connect_ex", "sendall", "sendto":
		if strings.Contains(strings.ToLower(v.path), "sock") {
			a.report("network", line, v.path)
		}
	default:
		if rule := methods[m]; rule != "" {
			a.report(rule, line, v.path)
		}
	}
}

// decodes tells whether a call's result is decoded data.
func (a *analysis) decodes(name string) bool {
	return strings.Contains(name, "decode") || strings.Contains(name, "decompress") || strings.Contains(name, "decrypt") || strings.Contains(name, "urlopen") || strings.Contains(name, "requests.")
}

// replaced is an assignment to an attribute of something imported.
func (a *analysis) replaced(full string, line int) {
	switch {
	case strings.HasPrefix(full, "os.environ"):
		a.report("env", line, full)
	case full == "ssl._create_default_https_context":
		a.report("B501", line, full)
	case functions[full].rule != "" || builtins[full] || networkKnown(full) || strings.HasPrefix(full, "sys.") && set("sys.stdout sys.stderr sys.excepthook sys.settrace sys.meta_path sys.path_hooks sys.modules")[full]:
		a.report("monkeypatch", line, full)
	}
}

func networkKnown(name string) bool { _, ok := networkPrefix(name); return ok }

func (a *analysis) replacedItem(full string, line int) {
	switch full {
	case "os.environ":
		a.report("env", line, full)
	case "sys.modules", "builtins.__dict__", "builtins", "__builtins__":
		a.report("monkeypatch", line, full)
	}
}

// fileCalls take a path first.
var fileCalls = set("open io.open codecs.open os.open os.listdir os.walk os.scandir os.stat glob.glob glob.iglob pathlib.Path shutil.copy shutil.copyfile shutil.copytree shutil.move shutil.make_archive os.rename os.makedirs os.mkdir numpy.fromfile numpy.load numpy.save pandas.read_csv tensorflow.io.write_file tensorflow.io.read_file tensorflow.io.gfile.GFile fileinput.input linecache.getlines sys.path.append file mmap.mmap os.chdir os.readlink sqlite3.connect")

var outside = regexp.MustCompile(`^(/|~|[A-Za-z]:[\\/]|\\\\)|(^|/)\.\.(/|$)`)

// sensitive are places where keys, passwords and accounts are kept.
var sensitive = regexp.MustCompile(`(^|[/\\])\.(ssh|aws|gnupg|kube|docker/config|netrc|git-credentials|bash_history|zsh_history|pgpass|npmrc|pypirc|azure|config/gcloud|password-store)([/\\]|$)|/etc/(passwd|shadow|sudoers|krb5\.keytab|ssh|gshadow|crontab|cron\.|ld\.so\.preload)|/proc/(self|\d+|1)/(environ|mem|maps|cmdline|fd)|/var/run/(docker|containerd)|/run/(docker\.sock|secrets)|/root/|id_(rsa|ed25519|ecdsa)\b|wallet\.dat|Login Data|169\.254\.169\.254|metadata\.google\.internal|/dev/(mem|kmem|sd[a-z]|input)|\.(bashrc|profile|bash_profile|zshrc)$|authorized_keys|/Library/Keychains|NTDS\.dit`)

func (a *analysis) file1(v value, line int) {
	if !v.isText() {
		return
	}
	if outside.MatchString(v.text) {
		a.report("file-outside", line, v.text)
	}
	a.path1(v.text, line)
}

// pathOf folds a path that is put together.
func (a *analysis) pathOf(name string, args []arg, line int) value {
	var parts []string
	for _, g := range args {
		if !g.val.isText() {
			return ref(name + "()")
		}
		parts = append(parts, g.val.text)
	}
	if len(parts) == 0 {
		return ref(name + "()")
	}
	path := strings.Join(parts, "/")
	a.path1(path, line)
	if name == "pathlib.Path" || name == "pathlib.PurePath" {
		return ref(name + "()")
	}
	return value{kind: vText, text: path}
}

func (a *analysis) path1(text string, line int) {
	if len(text) < 512 && strings.ContainsAny(text, `/\._ `) && sensitive.MatchString(text) {
		a.report("sensitive-path", line, text)
	}
}

var (
	base64Text = regexp.MustCompile(`^[A-Za-z0-9+/_\-\s]{160,}={0,2}\s*$`)
	hexText    = regexp.MustCompile(`^(?:[0-9a-fA-F]{2}\s*){80,}$`)
	preload    = regexp.MustCompile(`^(?:LD_(?:PRELOAD|AUDIT)|DYLD_INSERT_LIBRARIES)$`)
	formatted  = regexp.MustCompile(`\{[^{}]{0,100}[.\[]__(?:class|globals|init|subclasses|builtins|dict|mro)__`)
	hostText   = regexp.MustCompile(`^(?:https?|ftp|wss?|tcp|udp|s3|gs|ssh|smb|ldap)://[^\s/$.?#][^\s]*|^\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?$`)
)

// text looks at a string constant.
func (a *analysis) text(s string, coded int, t token, isBytes bool) {
	a.path1(s, t.line)
	switch {
	case len(s) < 1<<20 && len(s) >= 160 && (hexText.MatchString(s) || base64Text.MatchString(s) && mixed(s)):
		a.report("obfuscated-literal", t.line, fmt.Sprintf("%d characters", len(s)))
	case coded >= 8 && printable(s) && !isBytes, coded >= 16 && isBytes && printable(s), coded >= 256 && isBytes:
		a.report("obfuscated-literal", t.line, fmt.Sprintf("%d characters are written as codes", coded))
	}
	if preload.MatchString(s) {
		a.report("native-load", t.line, s)
	}
	if strings.Contains(s, "__") && formatted.MatchString(s) {
		a.report("introspection", t.line, "a format that reaches into objects")
	}
	if len(s) < 2048 && (strings.Contains(s, "://") || strings.Count(s, ".") == 3) && hostText.MatchString(s) {
		a.report("address", t.line, s)
	}
	if s == "0.0.0.0" || s == "::" && len(s) == 2 && a.isAddress() {
		a.report("B104", t.line, s)
	}
}

// isAddress tells "::" as an address, an argument of a tuple, from other uses.
func (a *analysis) isAddress() bool { return a.isOp(",") }

// mixed tells encoded data from long words and paths.
func mixed(s string) bool {
	var upper, lower, digit, space int
	for _, r := range s {
		switch {
		case unicode.IsUpper(r):
			upper++
		case unicode.IsLower(r):
			lower++
		case unicode.IsDigit(r):
			digit++
		case r == ' ':
			space++
		}
	}
	n := len(s)
	return upper*20 > n && lower*20 > n && digit*40 > n && space*30 < n
}

func printable(s string) bool {
	n := 0
	for _, r := range s {
		if r < 0x7f && r >= ' ' {
			n++
		}
	}
	return len(s) > 0 && n*10 >= len([]rune(s))*9
}
