package collaborator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"fx/runtime/tensor"
	"fx/schema"
)

// Under opt_treatment CONTINUE_GLOBAL the optimizer goes on from the average of
// all sites' states. Training sends its state besides the model, the aggregator
// averages it into the next model, and from there it is fetched like the rest of
// the model and handed in with it.
//
// OpenFL's collaborator asks for the names that its task runner says it needs.
// Names are text of the task code's choice, and would leave in a request. So here
// a site asks for what it has itself sent, under the egress contract, when it
// trained last: for PyTorchTaskRunner these are the same tensors. It is a durable
// list, so a process that starts again goes on with the same inputs.

const (
	continueGlobal = "CONTINUE_GLOBAL"
	statePrefix    = "state" // in the store: state/ROUND/TASK.json
	maxStateList   = 16 << 20
)

// described is a tensor in the list of what was sent.
type described struct {
	Name  string `json:"name"`
	Shape []int  `json:"shape"`
}

// rememberState stores what is sent besides the model, before it is sent.
func (c *collaborator) rememberState(round int, task schema.Task, leave []tensor.Info) error {
	if c.Plan.Collaborator.OptTreatment != continueGlobal {
		return nil
	}
	var state []described
	for _, info := range leave {
		if !slices.ContainsFunc(c.Model, func(m tensor.Info) bool { return m.Name == info.Name }) {
			state = append(state, described{info.Name, info.Shape})
		}
	}
	if len(state) == 0 {
		return nil
	}
	name := fmt.Sprintf("%s/%06d/%s.json", statePrefix, round, hexName(task.Name))
	return c.keep(name, func(w io.Writer) error { return json.NewEncoder(w).Encode(state) })
}

// state lists the tensors besides the model that are fetched for a round, in name
// order: those that this site sent in the last round before it in which it sent
// any. Lists of earlier rounds are removed.
func (c *collaborator) state(round int) ([]tensor.Info, error) {
	if c.Plan.Collaborator.OptTreatment != continueGlobal {
		return nil, nil
	}
	names, err := c.Store.List(statePrefix)
	if err != nil {
		return nil, err
	}
	of, last := map[int][]string{}, -1
	for _, name := range names {
		r, err := strconv.Atoi(strings.Split(name, "/")[1])
		if err != nil || r >= round {
			continue // nothing that this package wrote, or a later round's
		}
		of[r] = append(of[r], name)
		last = max(last, r)
	}
	var infos []tensor.Info
	for r, lists := range of {
		for _, name := range lists {
			if r < last {
				if err := c.Store.Remove(name); err != nil { // it only costs disk space
					c.Log.Warn("cannot remove a list of an earlier round", "error", err.Error())
				}
				continue
			}
			list, err := c.stateList(name)
			if err != nil {
				return nil, err
			}
			infos = append(infos, list...)
		}
	}
	slices.SortFunc(infos, func(a, b tensor.Info) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(infos, func(a, b tensor.Info) bool { return a.Name == b.Name }), nil
}

func (c *collaborator) stateList(name string) (_ []tensor.Info, err error) {
	o, err := c.Store.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	b, err := io.ReadAll(io.NewSectionReader(o, 0, min(o.Size(), maxStateList+1)))
	if err != nil {
		return nil, fmt.Errorf("cannot read %q: %v", name, err)
	}
	var list []described
	if err := schema.DecodeJSON(name, b, maxStateList, &list); err != nil {
		return nil, err
	}
	infos := make([]tensor.Info, 0, len(list))
	for _, d := range list {
		infos = append(infos, tensor.Info{Name: d.Name, DType: tensor.F32, Shape: d.Shape})
	}
	return infos, nil
}

// held reports whether the model of the round before has a tensor, so that the
// difference to it can be asked for. State that was sent for the first time is
// not in it.
func (d *download) held(info tensor.Info) bool {
	if d.previous == nil {
		return false
	}
	of, ok := d.previous.Info(info.Name)
	return ok && slices.Equal(of.Shape, info.Shape)
}
