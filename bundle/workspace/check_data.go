package workspace

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"unicode"

	"fx/schema"
)

// data checks plan/data.yaml line by line: its syntax, whether the names are in
// the roster, and whether the paths are there. A site may keep its data anywhere
// (--data), so that what is missing here is a warning.
func (f *Folder) data() {
	text, err := readLimited(f.root, dataFile, maxList)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		finding := f.in(dataFile, "missing-file", 0, 0, "the file is not there: every site must say where its data is")
		finding.Hint = "write lines name,path, or start collaborators with --data"
		f.warn(finding)
		return
	case err != nil:
		f.add(f.in(dataFile, "unreadable", 0, 0, "%s", cause(err)))
		return
	}
	wrong := map[int]bool{}
	if _, err := schema.ParseData(f.name(dataFile), text); err != nil {
		found, _ := errors.AsType[schema.Findings](err)
		for _, finding := range found {
			f.add(finding)
			wrong[finding.Line] = true
		}
		if wrong[0] {
			return // it is no text
		}
	}
	listed := map[string]bool{}
	for i, line := range strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(text)), "\n") {
		line = strings.TrimRightFunc(line, unicode.IsSpace)
		name, where, ok := strings.Cut(line, ",")
		if ok && line[0] != '#' {
			listed[name] = true
		}
		if !ok || line[0] == '#' || wrong[i+1] {
			continue
		}
		f.dataName(name, i+1)
		f.dataPath(where, i+1, len([]rune(name))+2)
	}
	for i, n := range f.Roster {
		if !listed[n.Text] && f.template("data_loader") != "fx.builtin.NoData" {
			finding := n.Finding("missing-data", schema.Index("collaborators", i), "there is no line for this collaborator in "+dataFile)
			finding.Found, finding.Hint = n.Describe(), "add a line "+n.Text+",path, or start this collaborator with --data"
			f.warn(finding)
		}
	}
}

// dataName checks that a name is in the roster.
func (f *Folder) dataName(name string, line int) {
	if len(f.Roster) == 0 {
		return
	}
	var names []string
	for _, n := range f.Roster {
		if n.Text == name {
			return
		}
		names = append(names, n.Text)
	}
	finding := f.in(dataFile, "unknown-collaborator", line, 1, "the name is not in the list of collaborators")
	finding.Found, finding.Allowed = quoted(name), strings.Join(names[:min(len(names), 20)], ", ")
	finding.Hint = schema.DidYouMean(name, names[:min(len(names), 1000)])
	f.warn(finding)
}

// dataPath checks where the data is said to be. A bare number is a shard, which
// loaders of OpenFL's examples cut from a public data set.
func (f *Folder) dataPath(where string, line, column int) {
	if strings.Trim(where, "0123456789") == "" {
		return
	}
	complain := func(id, message, hint string) {
		finding := f.in(dataFile, id, line, column, "%s", message)
		finding.Found, finding.Hint = quoted(where), hint
		f.warn(finding)
	}
	if ofOneSite(where) {
		complain("site-path", "the path is one of a site's own disk: this file stays out of the bundle, and nobody else can use the line",
			"write a path below the workspace, or leave the line out and start the collaborator with --data")
		return
	}
	dir := path.Clean(where)
	info, err := fs.Stat(f.root, dir)
	if err != nil {
		complain("missing-data", "there is nothing at this path", "put the data there, or start the collaborator with --data")
		return
	}
	if f.template("data_loader") != "fx.builtin.CSVDataLoader" {
		return
	}
	for _, file := range []string{"train.csv", "valid.csv"} {
		if _, err := fs.Stat(f.root, path.Join(dir, file)); err != nil || !info.IsDir() {
			complain("missing-data", "there is no "+file+" in this folder, which the data loader fx.builtin.CSVDataLoader reads", "put the file there")
		}
	}
}

// ofOneSite reports whether a path is true on one machine only.
func ofOneSite(where string) bool {
	p := strings.ReplaceAll(where, `\`, "/")
	drive := len(p) > 1 && p[1] == ':'
	return path.IsAbs(p) || drive || strings.HasPrefix(p, "~") || strings.Contains(p, "://") || strings.HasPrefix(path.Clean(p)+"/", "../")
}
