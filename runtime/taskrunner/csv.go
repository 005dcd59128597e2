package taskrunner

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Bounds on one data file.
const (
	maxCSVBytes  = 1 << 30
	maxCSVValues = 1 << 27 // features of all rows: 1 GiB of float64
)

// csvLoader reads train.csv and valid.csv of one folder, each when it is first
// needed. A row is the features and then the label, a class number from 0 on;
// there is no header line. Features are divided by scale.
type csvLoader struct {
	dir               string
	features, classes int
	batch             int
	scale             float64
	trainSet          *samples
	validSet          *samples
}

func newCSVLoader(dir string, m map[string]any, of model) (*csvLoader, error) {
	s := &settings{where: "data_loader", m: m}
	l := &csvLoader{
		dir: dir, features: of.inputs(), classes: of.classes(),
		batch: s.whole("batch_size", 32, 1, maxCount),
		scale: s.positive("scale", 1),
	}
	if n := l.batch * of.width(); s.err == nil && n > maxElements {
		s.fail("a batch of %d samples would have %d values in a layer of the model; at most %d are allowed", l.batch, n, maxElements)
	}
	return l, s.done()
}

func (l *csvLoader) train(ctx context.Context) (*samples, error) {
	return l.load(ctx, "train.csv", &l.trainSet)
}

func (l *csvLoader) valid(ctx context.Context) (*samples, error) {
	return l.load(ctx, "valid.csv", &l.validSet)
}

func (l *csvLoader) load(ctx context.Context, name string, into **samples) (*samples, error) {
	if *into != nil {
		return *into, nil
	}
	if l.dir == "" {
		return nil, fmt.Errorf("cannot read data: no data folder was given; name it with --data")
	}
	path := filepath.Join(l.dir, name)
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read data: %v", err)
	}
	defer func() { _ = f.Close() }() // read only
	data, err := readCSV(ctx, path, f, l.features, l.classes, l.scale)
	if err != nil {
		return nil, fmt.Errorf("cannot read data: %w", err)
	}
	*into = data
	return data, nil
}

// samples is a data set in memory, one row after the other.
type samples struct {
	features int
	x        []float64 // rows×features
	labels   []int
}

func (s *samples) rows() int { return len(s.labels) }

// gather copies the rows of these numbers into x and labels, which may be reused.
func (s *samples) gather(x []float64, labels []int, rows []int) ([]float64, []int) {
	x = grow(x, len(rows)*s.features)
	labels = labels[:0]
	for i, row := range rows {
		copy(x[i*s.features:], s.x[row*s.features:(row+1)*s.features])
		labels = append(labels, s.labels[row])
	}
	return x, labels
}

// readCSV reads strictly; errors name file and line.
func readCSV(ctx context.Context, path string, r io.Reader, features, classes int, scale float64) (*samples, error) {
	bounded := &io.LimitedReader{R: r, N: maxCSVBytes + 1}
	c := csv.NewReader(bounded)
	c.FieldsPerRecord = -1 // counted below, for a message that says more
	c.ReuseRecord = true
	data := &samples{features: features}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		record, err := c.Read()
		if bounded.N <= 0 {
			return nil, fmt.Errorf("%s: the file has more than %d bytes", path, maxCSVBytes)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		var syntax *csv.ParseError
		if errors.As(err, &syntax) {
			return nil, fmt.Errorf("%s:%d: column %d: %v", path, syntax.Line, syntax.Column, syntax.Err)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %v", path, err)
		}
		line, _ := c.FieldPos(0)
		if err := data.add(record, classes, scale); err != nil {
			return nil, fmt.Errorf("%s:%d: %v", path, line, err)
		}
	}
	if data.rows() == 0 {
		return nil, fmt.Errorf("%s: the file has no samples", path)
	}
	return data, nil
}

func (s *samples) add(record []string, classes int, scale float64) error {
	if len(record) != s.features+1 {
		return fmt.Errorf("the row has %d values; %d features and a label were expected", len(record), s.features)
	}
	if len(s.x)+s.features > maxCSVValues {
		return fmt.Errorf("the file has more than %d values", maxCSVValues)
	}
	for i, text := range record[:s.features] {
		v, err := strconv.ParseFloat(text, 64)
		v /= scale
		if err != nil || math.IsInf(v, 0) || strings.Trim(text, "0123456789.eE+-") != "" {
			return fmt.Errorf("column %d is %.40q; a number was expected", i+1, text)
		}
		s.x = append(s.x, v)
	}
	text := record[s.features]
	label, err := strconv.Atoi(text)
	if err != nil || label < 0 || label >= classes || text != strconv.Itoa(label) {
		return fmt.Errorf("the label is %.40q; a class number from 0 to %d was expected", text, classes-1)
	}
	s.labels = append(s.labels, label)
	return nil
}
