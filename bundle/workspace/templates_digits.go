package workspace

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
)

const (
	holdout    = "holdout" // the folder of the images that no collaborator has
	digitsSize = 1 << 20   // bytes, a bound on the unpacked data
)

// Shares of the digits, in percent.
const (
	holdoutShare = 20 // of all images of a digit
	homeShare    = 92 // of the others, for the sites that know the digit well
	validShare   = 20 // of a site's images
)

// digitsData deals the images: for each digit a fifth is held out, most of the
// rest goes to the sites at which the digit is at home, and the little that
// remains to the other sites. With up to ten sites every digit has one home, and
// site i of n is home to the digits from 10·i/n on; with more, sites share
// homes. No image is dealt twice. The order is that of the SHA-256 of an image's
// row number, so that the deal depends on nothing but the number of sites.
func digitsData(collaborators []string) ([]File, error) {
	rows, err := readDigits()
	if err != nil {
		return nil, err
	}
	n := len(collaborators)
	train, valid := make([][]digit, n), make([][]digit, n)
	var held []digit
	for label := range 10 {
		images := slices.DeleteFunc(slices.Clone(rows), func(d digit) bool { return d.label != label })
		cut := len(images) * holdoutShare / 100
		held = append(held, images[:cut]...)
		for site, part := range deal(images[cut:], label, n) {
			v := len(part) * validShare / 100
			valid[site] = append(valid[site], part[:v]...)
			train[site] = append(train[site], part[v:]...)
		}
	}
	source, err := fs.ReadFile(templateFiles, "templates/digits/SOURCE.md")
	if err != nil {
		return nil, err
	}
	files := []File{
		{Path: "data/SOURCE.md", Data: source},
		{Path: path.Join("data", holdout, "valid.csv"), Data: lines(held)},
	}
	for site, name := range collaborators {
		files = append(files,
			File{Path: path.Join("data", name, "train.csv"), Data: lines(train[site])},
			File{Path: path.Join("data", name, "valid.csv"), Data: lines(valid[site])})
	}
	return files, nil
}

// deal divides the images of one digit among n sites.
func deal(images []digit, label, n int) [][]digit {
	var homes, others []int
	for site := range n {
		if home := label * n / 10; (n <= 10 && site == home) || (n > 10 && site*10/n == label) {
			homes = append(homes, site)
		} else {
			others = append(others, site)
		}
	}
	parts := make([][]digit, n)
	cut := len(images) * homeShare / 100
	if len(others) == 0 {
		cut = len(images)
	}
	for i, d := range images[:cut] {
		site := homes[i%len(homes)]
		parts[site] = append(parts[site], d)
	}
	for i, d := range images[cut:] {
		site := others[(i+label)%len(others)]
		parts[site] = append(parts[site], d)
	}
	return parts
}

// digit is one image: its line in the file and its label.
type digit struct {
	line  []byte
	label int
	order [sha256.Size]byte
}

// readDigits unpacks the images in the order in which they are dealt.
func readDigits() ([]digit, error) {
	packed, err := templateFiles.Open("templates/digits/digits.csv.gz")
	if err != nil {
		return nil, err
	}
	defer func() { _ = packed.Close() }() // embedded
	z, err := gzip.NewReader(packed)
	if err != nil {
		return nil, fmt.Errorf("cannot unpack digits: %v", err)
	}
	text, err := io.ReadAll(io.LimitReader(z, digitsSize))
	if err != nil {
		return nil, fmt.Errorf("cannot unpack digits: %v", err)
	}
	var rows []digit
	for i, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		label, err := strconv.Atoi(string(line[bytes.LastIndexByte(line, ',')+1:]))
		if err != nil || label < 0 || label > 9 {
			return nil, fmt.Errorf("cannot read digits: line %d has no label", i+1)
		}
		rows = append(rows, digit{line, label, sha256.Sum256([]byte(strconv.Itoa(i)))})
	}
	slices.SortFunc(rows, func(a, b digit) int { return bytes.Compare(a.order[:], b.order[:]) })
	return rows, nil
}

// lines puts images one below the other: by label, in the order of the deal. Task
// runners shuffle.
func lines(images []digit) []byte {
	var b bytes.Buffer
	for _, d := range images {
		b.Write(d.line)
		b.WriteByte('\n')
	}
	return b.Bytes()
}
