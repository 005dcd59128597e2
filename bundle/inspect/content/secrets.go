package content

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"fx/bundle/inspect/finding"
)

var keyMarks = [][]byte{[]byte("PRIVATE KEY-----"), []byte("PRIVATE KEY BLOCK-----"), []byte("PuTTY-User-Key-File-"), []byte("openssh-key-v1\x00"), []byte("AGE-SECRET-KEY-1")}

func hasKeyMark(data []byte) bool {
	for _, m := range keyMarks {
		if bytes.Contains(data, m) {
			return true
		}
	}
	return false
}

// keys looks for private keys inside binary data.
func (s *scanner) keys(src source, data []byte) {
	if hasKeyMark(data) {
		s.report("private-key", src, "")
	}
}

// tokens are the shapes of services' secrets.
var tokens = []struct {
	service string
	hints   string // words of which a line has one, or it is not looked at closer
	pattern *regexp.Regexp
}{
	{"AWS access key", "KIA ASIA AGPA AROA", regexp.MustCompile(`\b(AKIA|ASIA|AGPA|AROA)[0-9A-Z]{16}\b`)},
	{"GitHub", "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_", regexp.MustCompile(`\b(gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40,})`)},
	{"GitLab", "glpat-", regexp.MustCompile(`\bglpat-[A-Za-z0-9_-]{20}`)},
	{"Slack", "xox slack.com", regexp.MustCompile(`\bxox[abeoprs]-[A-Za-z0-9-]{10,}|hooks\.slack\.com/services/T[A-Z0-9]+/B[A-Z0-9]+/\w+`)},
	{"Google", "AIza ya29.", regexp.MustCompile(`\bAIza[0-9A-Za-z_-]{35}|\bya29\.[0-9A-Za-z_-]{30,}`)},
	{"Stripe", "k_live_", regexp.MustCompile(`\b[rs]k_live_[0-9A-Za-z]{20,}`)},
	{"Hugging Face", "hf_", regexp.MustCompile(`\bhf_[A-Za-z]{30,}\b`)},
	{"npm", "npm_", regexp.MustCompile(`\bnpm_[A-Za-z0-9]{36}\b`)},
	{"PyPI", "pypi-", regexp.MustCompile(`\bpypi-AgE[A-Za-z0-9_-]{40,}`)},
	{"an AI service", "sk-", regexp.MustCompile(`\bsk-(proj-|ant-)?[A-Za-z0-9_-]{32,}`)},
	{"Azure storage", "AccountKey=", regexp.MustCompile(`AccountKey=[A-Za-z0-9+/]{60,}={0,2}`)},
	{"SendGrid", "SG.", regexp.MustCompile(`\bSG\.[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{30,}`)},
	{"Telegram", ":AA", regexp.MustCompile(`\b\d{8,10}:AA[A-Za-z0-9_-]{33}\b`)},
	{"Discord", "discord", regexp.MustCompile(`discord(app)?\.com/api/webhooks/\d+/[\w-]{30,}`)},
	{"JSON web token", "eyJ", regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}`)},
	{"a URL with a password", "://", regexp.MustCompile(`\b[a-z][a-z0-9+.-]{2,12}://[^\s:/@'"<>{}$]{1,40}:[^\s:/@'"<>{}$]{3,60}@[\w.-]+`)},
}

var assigned = regexp.MustCompile(`(?i)["']?\b[\w-]*(password|passwd|pwd|secret|api_?key|access_?key|auth_?token|access_?token|private_?key|client_?secret)["']?\s*[:=]\s*(?:str\s*=\s*)?["']([^"'\s]{6,200})["']`)
var assignedBare = regexp.MustCompile(`(?i)^\s*(?:export\s+|-\s+)?[\w-]*(password|passwd|secret|api_?key|access_?key|auth_?token|access_?token)\s*[:=]\s*([A-Za-z0-9+/_\-!@#%^&*]{12,200})\s*$`)
var placeholder = regexp.MustCompile(`(?i)^(x+|\*+|<.*>|\$.*|\{.*\}|%.*|your.*|change.?me.*|example.*|dummy.*|placeholder.*|none|null|true|false|todo.*|\.\.\.+|test.*|password|secret|.*_here|os\.environ.*)$`)

func (s *scanner) secrets(src source, data []byte) {
	for i, raw := range bytes.Split(data, []byte("\n")) {
		line := raw[:min(len(raw), 16<<10)]
		if hasKeyMark(line) && !bytes.Contains(line, []byte("-----END")) {
			s.add(finding.New("private-key", src.path, i+1, "", ""))
			continue
		}
		if len(line) < 12 {
			continue
		}
		s.secretLine(src, i+1, string(line))
	}
}

// secretLine looks at one line. A secret is not repeated in the finding.
func (s *scanner) secretLine(src source, n int, line string) {
	for _, t := range tokens {
		if !hasWord(line, t.hints) {
			continue
		}
		if m := t.pattern.FindString(line); m != "" && !looksInvented(m) {
			s.add(finding.New("secret", src.path, n, strings.ReplaceAll(line, m, m[:min(6, len(m))]+"…"), t.service))
			return
		}
	}
	if !hasWord(strings.ToLower(line), "pass pwd secret key token") {
		return
	}
	m := assigned.FindStringSubmatch(line)
	if m == nil && src.ext() != ".py" && src.ext() != ".md" {
		m = assignedBare.FindStringSubmatch(line)
	}
	if m == nil || placeholder.MatchString(m[2]) {
		return
	}
	h := entropyOf([]byte(m[2]))
	shown := strings.ReplaceAll(line, m[2], "…")
	if len(m[2]) >= 20 && h >= 3.7 && strings.ContainsAny(m[2], "0123456789") {
		s.add(finding.New("secret", src.path, n, shown, fmt.Sprintf("%d characters with %.1f bits each", len(m[2]), h)))
		return
	}
	s.add(finding.New("B105", src.path, n, shown, m[1]))
}

// looksInvented tells the examples of documentation, which repeat themselves.
func looksInvented(s string) bool {
	return len(s) > 16 && entropyOf([]byte(s)) < 2.5 || strings.Contains(s, "EXAMPLE")
}

func hasWord(line, words string) bool {
	for w := range strings.FieldsSeq(words) {
		if strings.Contains(line, w) {
			return true
		}
	}
	return false
}
