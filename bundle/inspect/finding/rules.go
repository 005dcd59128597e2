package finding

import "slices"

// Rule is a kind of finding.
type Rule struct {
	ID       string // stable: Bandit's where it has one (B…), else ours
	Severity Severity
	Means    string // one sentence
	Not      string // what it does not prove
}

// Lookup returns the rule of an id.
func Lookup(id string) (Rule, bool) {
	i, ok := slices.BinarySearchFunc(rules, id, func(r Rule, id string) int {
		switch {
		case r.ID < id:
			return -1
		case r.ID > id:
			return 1
		}
		return 0
	})
	if !ok {
		return Rule{}, false
	}
	return rules[i], true
}

// Rules lists all rules in order of id.
func Rules() []Rule { return slices.Clone(rules) }

const (
	boxed    = "in the box there is no network: the call would fail there"
	deserial = "harmless if the file is in this bundle and its own findings are"
	reading  = "reading the code around it answers"
)

// rules are all rules in order of id. An id is never renamed or used again.
var rules = []Rule{
	{"B102", High, "runs text as code, which no review of the file can see", "constant text is as reviewable as code"},
	{"B103", Medium, "makes a file writable or executable for everybody", reading},
	{"B104", Medium, "binds to all network interfaces", boxed},
	{"B105", Medium, "a value that looks like a password stands in the file", "examples and placeholders look the same"},
	{"B202", Medium, "unpacks an archive, which may write outside its folder", "harmless if the archive is in this bundle"},
	{"B301", Medium, "loads pickled data, which can run any code", deserial},
	{"B302", High, "loads marshalled code objects", deserial},
	{"B307", High, "evaluates text as code, which no review of the file can see", "constant text is as reviewable as code"},
	{"B310", High, "opens a URL", boxed},
	{"B312", High, "speaks telnet", boxed},
	{"B321", High, "speaks FTP", boxed},
	{"B403", Low, "imports a module that can load pickled data", "importing alone loads nothing"},
	{"B404", Low, "imports subprocess, which starts programs", "importing alone starts nothing"},
	{"B501", High, "switches off the check of TLS certificates", boxed},
	{"B506", Medium, "loads YAML that can make any Python object", deserial},
	{"B507", High, "accepts any SSH host key", boxed},
	{"B601", High, "runs commands on other hosts by SSH", boxed},
	{"B602", High, "starts a program through a shell", "in the box it sees no more than the task does"},
	{"B603", High, "starts a program", "in the box it sees no more than the task does"},
	{"B605", High, "starts a command through a shell", "in the box it sees no more than the task does"},
	{"B606", High, "starts or replaces a process", "in the box it sees no more than the task does"},
	{"B614", Medium, "loads a PyTorch file that may hold pickled code (no weights_only=True)", deserial},
	{"B615", High, "downloads a model or data set, so that what runs is not what was reviewed", boxed},
	{"active-content", Medium, "the document holds script or macros", "nothing happens unless somebody opens it"},
	{"address", Low, "names a host or URL in code", "a link in a message or a licence looks the same"},
	{"appended-data", High, "data follows the end of the file format, where viewers do not look", "some tools append harmless metadata"},
	{"archive", Low, "an archive; its members were analysed as far as the coverage says", "an archive alone does nothing"},
	{"archive-unsafe", High, "an archive's member would be written outside its folder, or is a link", "only unpacking it does harm"},
	{"build-file", Low, "a file that build tools run", "fx does not run it"},
	{"bytecode", High, "compiled Python, which cannot be read in review and is imported in place of its source", "caches are compiled from their source"},
	{"control-characters", Medium, "text holds control characters, which can hide lines on a terminal", "some test data needs them"},
	{"decode", Low, "decodes or unpacks data in memory", reading},
	{"dep-index", High, "takes packages from an index that the file names, which may answer for any name", "your own mirror is an index too"},
	{"dep-typo", High, "the name is one slip away from a well-known package", "some honest packages have such names"},
	{"dep-unhashed", Low, "no digest pins the package's content", "your own mirror may pin it"},
	{"dep-unpinned", Low, "the version is open: later installations may get other code", "your own mirror may pin it"},
	{"dep-url", Medium, "takes a package from a URL or a version-control system, past the index", "a digest in the URL pins it"},
	{"dynamic-attribute", Medium, "picks a function of a module by a name that is made at run time", reading},
	{"dynamic-import", Medium, "imports a module whose name is made at run time", reading},
	{"env", Low, "reads or changes the environment", "in the box it holds only what plan and site allow"},
	{"file-delete", Low, "deletes files or folders", "in the box only its scratch folder can be written"},
	{"file-outside", Medium, "uses files outside the workspace and the data folder", "in the box they are not there"},
	{"hidden-name", High, "reaches a dangerous function by text instead of by name", "rarely done in good faith"},
	{"hidden-unicode", High, "direction characters make the text read otherwise than it runs", "right-to-left languages use some in messages"},
	{"homoglyph", High, "an identifier mixes letters of several scripts that look alike", "names in one other script are not reported"},
	{"host-facts", Medium, "asks for the names of host, user or network", "used to tell log files apart"},
	{"import-hook", High, "Python runs this file by itself, or with every start", "only where it lies on Python's path"},
	{"import-time", High, "the call runs as soon as the file is imported, before any task is asked for", "scripts that are not imported look the same"},
	{"introspection", Medium, "reaches into the interpreter's own objects, a way around restrictions", "debugging tools do the same"},
	{"model-broken", Medium, "the model file is not in the order that its format demands", "readers differ in what they accept"},
	{"model-code", High, "the model file carries code that loading or using it runs", "some architectures need it: read it"},
	{"model-operators", Medium, "the model needs operators or files from outside its format", "custom operators must be installed to do anything"},
	{"monkeypatch", Medium, "replaces parts of other modules", "tests do the same"},
	{"native-code", High, "machine code, which cannot be read in review", "a well-known library looks the same"},
	{"native-load", High, "loads or calls machine code", "libraries that are part of Python's packages look the same"},
	{"network", High, "talks to a network", boxed},
	{"network-import", Medium, "imports a module that talks to networks", "importing alone sends nothing"},
	{"not-analysed", Medium, "this was not analysed: nothing is known about it but size and digest", "says nothing about what it is"},
	{"notebook", Info, "a notebook; its code cells were analysed as Python", "fx does not run it"},
	{"obfuscated-exec", High, "decodes data and runs it as code", "rarely done in good faith"},
	{"obfuscated-literal", Medium, "a long encoded text, whose meaning cannot be read in review", "small images and keys look the same"},
	{"off-screen", High, "code stands behind so many spaces that no editor shows it", "rarely done in good faith"},
	{"pickle", Low, "pickled data that names only what plain arrays and containers need", "what it decodes to is still up to its publisher"},
	{"pickle-broken", Medium, "pickled data that ends early or makes no sense from some point on", "a reader may stop at another point"},
	{"pickle-code", High, "pickled data that calls functions able to run code, or hides which", "rarely done in good faith"},
	{"pickle-unknown", Medium, "pickled data that names functions or classes beyond plain arrays and containers", "a model's own classes look the same"},
	{"private-key", High, "a private key, which whoever has the bundle can use", "test keys look the same"},
	{"python-syntax", Medium, "the file is not Python that could be read to its end, so findings may be missing", "Python 2 looks the same"},
	{"reduce-method", Low, "defines how its objects are pickled, which can name any function", reading},
	{"secret", High, "a token or password of a known service, or a value made to be secret", "test values look the same"},
	{"sensitive-path", High, "names a place where keys, passwords or the system's accounts are kept", "in the box they are not there"},
	{"setup-code", Medium, "code that tools run by its name (setup, tests), not the tasks", "fx does not run it"},
	{"shell", Low, "a shell script", "fx runs it only if the plan names it"},
	{"shell-danger", High, "a shell command that downloads, hides, persists or destroys", reading},
	{"source-encoding", High, "the declared encoding makes the file another text than what viewers show", "rarely done in good faith"},
	{"thread", Low, "starts threads or processes that may outlive the call", "libraries do so for speed"},
	{"type-mismatch", Medium, "the content is of another type than the name says", "names are often careless"},
	{"wasm", Medium, "a WebAssembly module, whose code cannot be read in review", "the box gives it no host functions but WASI's"},
	{"wasm-import", High, "a WebAssembly module that asks for functions beyond WASI", "fx refuses to run it"},
	{"yaml-object", High, "YAML that makes Python objects or calls functions when it is loaded", "fx's own reader refuses it"},
	{"zero-width", Medium, "invisible characters stand in the text", "emoji and some scripts need them"},
}
