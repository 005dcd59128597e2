package egress

import (
	"io"
	"maps"
	"slices"

	"fx/runtime/tensor"
)

// Training is what filters work on: what a task made, and the model that it began
// with.
type Training struct {
	Task   string
	Made   *tensor.File
	Base   *tensor.File
	Random io.Reader // nobody can foresee it; read only for noise
}

// Changed are the tensors as clips and noise leave them, and by name what the
// ledger says about those that differ. A tensor that the model does not have
// counts as a change from zero. A change that no filter has reason to touch stays
// as it is, byte for byte. Sources are valid while the files are open, and can be
// read once. The error is a [Refusal] if the task made what is no number, which
// no filter may hide.
func (c *Contract) Changed(r Training, leave []tensor.Info) (sources []tensor.Source, applied map[string][]string, err error) {
	changes := make([]Change, len(leave))
	for i, info := range leave {
		changes[i].Name = info.Name
		from, to, err := r.values(info.Name)
		if err != nil {
			return nil, nil, err
		}
		if _, err := c.tensor(r.Task, info, io.NewSectionReader(to, 0, to.Size()), false); err != nil {
			return nil, nil, err
		}
		if changes[i].Norm, err = ChangeNorm(from, to); err != nil {
			return nil, nil, err
		}
	}
	applied = map[string][]string{}
	factors, clips := c.Factors(changes)
	for i, info := range leave {
		from, to, err := r.values(info.Name)
		if err != nil {
			return nil, nil, err
		}
		source := tensor.Source{Info: info, Data: to}
		names := slices.Clone(clips[i])
		if noise := c.of("noise", info.Name); len(noise) > 0 {
			source.Data = Noised(from, to, factors[i], noise[0].Multiplier*noise[0].Norm, r.Random)
			names = append(names, noise[0].applied())
		} else if factors[i] < 1 {
			source.Data = Clipped(from, to, factors[i])
		}
		if len(names) > 0 {
			applied[info.Name] = names
		}
		sources = append(sources, source)
	}
	return sources, applied, nil
}

// values are those of one tensor before and after the task.
func (r Training) values(name string) (from io.Reader, to *io.SectionReader, err error) {
	to, err = r.Made.Section(name)
	if err != nil {
		return nil, nil, err
	}
	if _, there := r.Base.Info(name); !there {
		return zeros{}, to, nil
	}
	from, err = r.Base.Section(name)
	return from, to, err
}

// Quantises reports whether a filter rounds the values of what leaves.
func (c *Contract) Quantises() bool { return c.has("quantise") }

// Rounded are the tensors of a file as the quantise filters leave them; names of
// filters are added to applied. The values of each tensor are read twice.
func (c *Contract) Rounded(file *tensor.File, leave []tensor.Info, applied map[string][]string) ([]tensor.Source, error) {
	var sources []tensor.Source
	for _, info := range leave {
		section, err := file.Section(info.Name)
		if err != nil {
			return nil, err
		}
		source := tensor.Source{Info: info, Data: section}
		if filters := c.of("quantise", info.Name); len(filters) > 0 {
			least, most, err := Span(io.NewSectionReader(section, 0, section.Size()))
			if err != nil {
				return nil, err
			}
			for _, f := range filters {
				source.Data = f.Quantised(source.Data, least, most)
				applied[info.Name] = append(applied[info.Name], f.applied())
			}
		}
		sources = append(sources, source)
	}
	return sources, nil
}

// Rehearse checks a result of a task as a site would, without its ledger: names,
// shapes, values, bytes. made is what it wrote, nil if nothing. Ranges of tensors
// that a filter changes are not checked: they are those of what leaves. The error
// is a [Refusal], unless reading failed.
func (c *Contract) Rehearse(task string, round int, metrics map[string]float64, made *tensor.File) error {
	var entries []Entry
	for _, name := range slices.Sorted(maps.Keys(metrics)) {
		if err := c.Metric(task, name, metrics[name]); err != nil {
			return err
		}
		entries = append(entries, Entry{Round: round, Task: task, Kind: KindMetric, Name: name, Bytes: metricBytes})
	}
	if made != nil {
		leave, _, err := c.Select(task, made.Infos())
		if err != nil {
			return err
		}
		for _, info := range leave {
			section, err := made.Section(info.Name)
			if err != nil {
				return err
			}
			if _, err := c.tensor(task, info, section, !c.Changes()); err != nil {
				return err
			}
			entries = append(entries, Entry{Round: round, Task: task, Kind: KindTensor, Name: info.Name, Bytes: info.Bytes()})
		}
	}
	return c.Result(nil, task, round, entries)
}
