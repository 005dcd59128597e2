package content

import "strings"

// wellKnown are packages whose names are worth imitating.
var wellKnown = func() map[string]bool {
	m := map[string]bool{}
	for n := range strings.FieldsSeq(`numpy scipy pandas matplotlib scikit-learn scikit-image torch torchvision torchaudio tensorflow keras jax jaxlib flax optax
transformers datasets tokenizers accelerate diffusers safetensors huggingface-hub sentencepiece requests urllib3 certifi idna charset-normalizer
flask django fastapi uvicorn starlette pydantic sqlalchemy click typer rich tqdm pyyaml toml tomli jinja2 markupsafe werkzeug itsdangerous
cryptography pyopenssl paramiko boto3 botocore s3transfer awscli google-cloud-storage azure-storage-blob protobuf grpcio grpcio-tools
openfl monai nibabel pydicom simpleitk opencv-python opencv-python-headless pillow imageio h5py pyarrow xgboost lightgbm catboost
joblib dask distributed ray numba cython pybind11 setuptools wheel packaging virtualenv poetry pytest pytest-cov hypothesis coverage tox mypy
black flake8 isort pylint bandit jupyter notebook jupyterlab ipython ipykernel nbconvert tensorboard tensorboardx tensorboard-data-server mlflow wandb
networkx sympy statsmodels seaborn plotly bokeh altair nltk spacy gensim beautifulsoup4 lxml selenium scrapy aiohttp httpx websockets
redis celery kombu psycopg2 psycopg2-binary pymongo pymysql docker kubernetes ansible fabric python-dateutil pytz tzdata six attrs
colorama termcolor tabulate prettytable psutil cloudpickle dill simplejson orjson ujson msgpack zstandard lz4 albumentations timm einops
pytorch-lightning lightning torchmetrics flower flwr opacus syft dynaconf docopt filelock fsspec gitpython regex typing-extensions`) {
		m[n] = true
	}
	return m
}()

// typoOf is the well-known package that a name is one slip away from: a letter
// more, less, other or exchanged, or other hyphens.
func typoOf(name string) string {
	if wellKnown[name] || len(name) < 4 {
		return ""
	}
	bare := strings.ReplaceAll(name, "-", "")
	best := ""
	for known := range wellKnown {
		if len(known) < 4 {
			continue
		}
		near := len(known) >= 5 && oneSlip(name, known) || strings.ReplaceAll(known, "-", "") == bare
		for _, affix := range []string{"python-" + known, known + "-python", "py-" + known, known + "-py", known + "3", known + "2"} {
			near = near || name == affix && len(known) >= 5
		}
		if near && (best == "" || known < best) {
			best = known
		}
	}
	return best
}

// oneSlip reports whether two names are at Damerau-Levenshtein distance 1.
func oneSlip(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) < len(b) {
		return a[i:] == b[i+1:]
	}
	if i == len(a) {
		return false
	}
	if a[i+1:] == b[i+1:] {
		return true
	}
	return i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}
