package workspace

const (
	isCache   = "a cache; it is made again"
	isBuild   = "build output or an installed environment"
	isHistory = "version control"
	isSecret  = "credentials"
	isBundle  = "a bundle or its signatures"
	isEditor  = "left by an editor or a desktop"
)

// schemaFile is the JSON Schema beside a new workspace's plan, for editors. It
// is fxctl's and changes with its version: in a bundle it would give the same
// plan other bytes.
const schemaFile = "plan/plan.schema.json"

// neverAtTop are folders of a workspace that belong to one site or one run. The
// names are OpenFL's (OPENFL layout) and ours, in lower case.
var neverAtTop = map[string]string{
	"cert":        "certificates and keys",
	"ca":          "the CA",
	"data":        "data stays at its site",
	"logs":        "logs",
	"local_state": "state of a run",
	"state":       "state of a run",
}

// neverAnywhere are names that do not belong into a bundle at any depth.
var neverAnywhere = map[string]string{
	"__pycache__": isCache, ".pytest_cache": isCache, ".mypy_cache": isCache, ".ruff_cache": isCache,
	".cache": isCache, ".ipynb_checkpoints": isCache, ".hypothesis": isCache,
	".venv": isBuild, "venv": isBuild, "node_modules": isBuild, ".tox": isBuild, ".nox": isBuild, ".eggs": isBuild,
	".git": isHistory, ".hg": isHistory, ".svn": isHistory,
	".env": isSecret, ".netrc": isSecret, ".pypirc": isSecret, ".ssh": isSecret, ".aws": isSecret, ".gnupg": isSecret,
	".ds_store": isEditor, "thumbs.db": isEditor, "desktop.ini": isEditor, ".idea": isEditor, ".vscode": isEditor,
}

// neverSuffix are the extensions of files that do not belong into a bundle.
var neverSuffix = map[string]string{
	".pyc": isCache, ".pyo": isCache,
	".swp": isEditor, ".swo": isEditor,
	".fxb": isBundle,
	".tmp": "a temporary file",
}
