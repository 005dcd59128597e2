package main

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// chaos runs federations of the folder that scripts/e2e/chaos.sh has made.
type chaos struct {
	t     *testing.T
	dir   string
	fxrun string
	names []string // aggregator and collaborators
	front *front

	random    *rand.Rand
	kills     map[string]int
	uploads   atomic.Int64 // connections that were cut while more went to the aggregator than a request has
	downloads atomic.Int64 // the same in the other direction
}

const aggregatorName = "aggregator"

// TestChaos kills and cuts until there were FX_KILLS kills.
func TestChaos(t *testing.T) {
	dir := os.Getenv("FX_CHAOS")
	if dir == "" {
		t.Skip("skipped: scripts/e2e/chaos.sh makes what it needs")
	}
	want, err := strconv.Atoi(os.Getenv("FX_KILLS"))
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("FX_SEED"); s != "" {
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	plan := read(t, filepath.Join(dir, "ward", "plan", "plan.yaml"))
	_, after, _ := strings.Cut(plan, "agg_port: ")
	port, _, _ := strings.Cut(after, "\n")
	c := &chaos{
		t: t, dir: dir, fxrun: filepath.Join(dir, "bin", "fxrun"), random: rand.New(rand.NewPCG(seed, 0)), kills: map[string]int{},
		names: []string{aggregatorName, "hospital-a", "hospital-b", "hospital-c", "hospital-d", "hospital-e"},
		front: newFront(t, "127.0.0.1:"+port, "127.0.0.2:"+port),
	}
	c.front.answer(t, c.front.relay)
	undisturbed := c.run("calm", 0)
	t.Logf("seed %d, undisturbed: %s", seed, undisturbed)
	c.front.answer(t, c.cuts(seed))
	runs := 0
	for c.total() < want {
		runs++
		got := c.run(fmt.Sprintf("run%d", runs), want-c.total())
		t.Logf("run %d: %s", runs, got)
		if got != undisturbed {
			t.Fatal("the final model differs from that of the undisturbed run")
		}
	}
	if c.uploads.Load() == 0 || c.downloads.Load() == 0 {
		t.Errorf("%d uploads and %d downloads were cut, want some of each", c.uploads.Load(), c.downloads.Load())
	}
	t.Logf("%d kills of the aggregator, %d of collaborators, %d uploads and %d downloads cut, in %d runs: one final model, no acknowledged result lost",
		c.kills[aggregatorName], c.total()-c.kills[aggregatorName], c.uploads.Load(), c.downloads.Load(), runs)
}

func (c *chaos) total() (n int) {
	for _, k := range c.kills {
		n += k
	}
	return n
}

// cuts relays, and resets every fifth connection at a random byte. A request
// without results has some 2,500 bytes in either direction, handshake included.
func (c *chaos) cuts(seed uint64) func(net.Conn) {
	const small, large = 2_500, 22_000
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 1))
	return func(conn net.Conn) {
		mu.Lock()
		cut, up, limit := random.IntN(5) == 0, random.IntN(2) == 0, random.Int64N(large)
		mu.Unlock()
		to, from, counter := int64(-1), limit, &c.downloads
		switch {
		case !cut:
			from = -1
		case up:
			to, from, counter = limit, -1, &c.uploads
		}
		if c.front.cut(to, from)(conn) && limit > small {
			counter.Add(1)
		}
	}
}

// launch starts a participant, or starts it again.
func (c *chaos) launch(state, name string) *program {
	dir := filepath.Join(state, name)
	if name == aggregatorName {
		return start(c.t, c.dir, dir+".log", c.fxrun, "aggregator", "--bundle", "fed.fxb", "--state", dir, "--bind", "127.0.0.2", "--linger", "3s", "--log-format", "json")
	}
	return start(c.t, c.dir, dir+".log", c.fxrun, "collaborator", "--bundle", "fed.fxb", "--name", name, "--data", filepath.Join("ward", "data", name),
		"--state", dir, "--poll-interval", "50ms", "--log-format", "json")
}

// run runs a federation to its end, with at most so many kills, and gives the
// digests of its final model.
func (c *chaos) run(name string, kills int) string {
	state := filepath.Join(c.t.TempDir(), name)
	if err := os.MkdirAll(state, 0o700); err != nil {
		c.t.Fatal(err)
	}
	running := map[string]*program{}
	for _, n := range c.names {
		running[n] = c.launch(state, n)
	}
	next := time.Now().Add(c.pause())
	until(c.t, 3*time.Minute, name+" is complete", func() bool {
		if kills > 0 && time.Now().After(next) {
			next = time.Now().Add(c.pause())
			if c.kill(running) {
				kills--
			}
		}
		for n, p := range running {
			select {
			case <-p.done:
			default:
				continue
			}
			switch status := p.cmd.ProcessState.Sys().(syscall.WaitStatus); {
			case status.Signaled() && status.Signal() == syscall.SIGKILL:
				running[n] = c.launch(state, n)
			case status.ExitStatus() == 0:
				delete(running, n)
			default:
				c.t.Fatalf("%s ended with %v:\n%s", n, p.cmd.ProcessState, read(c.t, p.log))
			}
		}
		return len(running) == 0
	})
	c.acknowledged(state)
	var digests []string
	for _, file := range []string{"final.safetensors", "final.pbuf"} {
		digests = append(digests, fmt.Sprintf("%x", sha256.Sum256([]byte(read(c.t, filepath.Join(state, aggregatorName, "save", file))))))
	}
	return strings.Join(digests, " ")
}

func (c *chaos) pause() time.Duration { return time.Duration(10+c.random.IntN(140)) * time.Millisecond }

// kill ends one participant without warning: the aggregator as often as all
// collaborators together. Once the aggregator has left, nobody would answer a
// late collaborator; and it can only leave if it is not killed whenever it is
// about to.
func (c *chaos) kill(running map[string]*program) bool {
	if running[aggregatorName] == nil || len(running) < 2 {
		return false
	}
	name := aggregatorName
	if c.random.IntN(2) == 0 {
		var others []string
		for n := range running {
			if n != aggregatorName {
				others = append(others, n)
			}
		}
		slices.Sort(others) // a map has no order, a seed should give one
		name = others[c.random.IntN(len(others))]
	}
	p := running[name]
	if err := p.cmd.Process.Kill(); err != nil {
		return false // it has just ended
	}
	<-p.done
	c.kills[name]++
	return true
}

// acknowledged requires that the aggregator has taken no result twice, as it
// would what it had lost, and that what a collaborator says to be reported was
// accepted. An aggregator that is killed between the two has no line about the
// latter, and says that it is there already when the result is sent again.
func (c *chaos) acknowledged(state string) {
	c.t.Helper()
	accepted, known := map[string]int{}, map[string]bool{}
	for _, l := range lines(c.t, filepath.Join(state, aggregatorName+".log"), 0) {
		key := fmt.Sprintf("%s/%s/%d", l.Collaborator, l.Task, l.Round)
		switch l.Msg {
		case "result accepted":
			accepted[key]++
			known[key] = true
		case "result dropped":
			known[key] = true
		}
	}
	for result, n := range accepted {
		if n != 1 {
			c.t.Errorf("result %s was accepted %d times: the first was lost", result, n)
		}
	}
	reported := 0
	for _, name := range c.names[1:] {
		for _, l := range lines(c.t, filepath.Join(state, name+".log"), 0) {
			switch key := fmt.Sprintf("%s/%s/%d", name, l.Task, l.Round); {
			case l.Msg == "the aggregator asks again for what it has taken":
				c.t.Errorf("result %s was asked for again", key)
			case l.Msg == "task reported" && !known[key]:
				c.t.Errorf("result %s was acknowledged and not accepted", key)
			case l.Msg == "task reported":
				reported++
			}
		}
	}
	if len(accepted) == 0 || reported == 0 {
		c.t.Errorf("the logs tell of %d accepted and %d reported results", len(accepted), reported)
	}
}
