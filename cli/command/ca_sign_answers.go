package command

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"fx/ca/identity"
)

// answer is where the answer to a request of the folder goes.
func (b *batch) answer(file string) string {
	return filepath.Join(b.o.output, strings.TrimSuffix(file, filepath.Ext(file))+".answer")
}

// write puts answers in place. What an earlier run wrote is brought up to date;
// what only has the name of an answer is not taken for one, and not overwritten.
func (b *batch) write(rows []int) error {
	var files []identity.NewFile
	for _, i := range rows {
		row := &b.rows[i]
		path, data := b.answer(row.File), row.issued.Answer.Encode()
		row.Serial, row.NotAfter, row.Answer = row.issued.Record.Serial, row.issued.Certificate.NotAfter, path
		if _, err := os.Lstat(path); err != nil {
			files = append(files, identity.NewFile{Path: path, Data: data})
			continue
		}
		there, err := identity.ReadFile(path, identity.MaxCRL)
		if err == nil && bytes.Equal(there, data) {
			continue
		}
		if row.Status != rowSigned && (err != nil || !answers(there, row.issued.Certificate)) { // or it is --replace
			row.Answer = ""
			row.refuse(fmt.Errorf("%q exists already and is no answer to it; -o names another folder", path))
			continue
		}
		if err := identity.ReplaceFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return identity.CreateFiles(files, 0o644)
}

// answers reports whether data is an answer with this certificate.
func answers(data []byte, c *x509.Certificate) bool {
	a, err := identity.ParseAnswer(data)
	return err == nil && a.Leaf.Equal(c)
}
