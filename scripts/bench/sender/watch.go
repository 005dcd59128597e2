package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// figures is what a run took.
type figures struct {
	WallSeconds float64 `json:"wall_seconds"`
	CPUSeconds  float64 `json:"cpu_seconds"`            // of the aggregator; of limit, both ends
	PeakMB      float64 `json:"peak_mb,omitempty"`      // VmHWM
	PeakAnonMB  float64 `json:"peak_anon_mb,omitempty"` // largest RssAnon seen: what the process holds
	PeakFileMB  float64 `json:"peak_file_mb,omitempty"` // largest RssFile seen: mapped files and the program
}

// watcher looks at another process.
type watcher struct {
	pid     int
	started time.Time
	cpu     float64
	seen    figures
	err     error
	end     chan struct{}
	ended   chan struct{}
}

const (
	tick          = 10 * time.Millisecond
	clockTicks    = 100 // a second, in /proc/PID/stat on Linux
	bytesPerMB    = 1e6
	statUser      = 11 // fields of /proc/PID/stat after the program's name
	statSystem    = 12
	kilobytesUnit = 1024
)

// watch begins to look at a process; 0 is none.
func watch(pid int) (*watcher, error) {
	w := &watcher{pid: pid, started: time.Now(), end: make(chan struct{}), ended: make(chan struct{})}
	if pid == 0 {
		close(w.ended)
		return w, nil
	}
	var err error
	if w.cpu, err = cpuSeconds(pid); err != nil {
		return nil, err
	}
	go func() {
		defer close(w.ended)
		for w.err == nil {
			w.err = w.look()
			select {
			case <-w.end:
				return
			case <-time.After(tick):
			}
		}
	}()
	return w, nil
}

// stop ends the watch. The process must still be there.
func (w *watcher) stop() (*figures, error) {
	w.seen.WallSeconds = time.Since(w.started).Seconds()
	close(w.end)
	<-w.ended
	if w.pid == 0 || w.err != nil {
		return &w.seen, w.err
	}
	cpu, err := cpuSeconds(w.pid)
	w.seen.CPUSeconds = cpu - w.cpu
	return &w.seen, err
}

func (w *watcher) look() error {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.pid))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		key, rest, _ := strings.Cut(line, ":")
		var peak *float64
		switch key {
		case "VmHWM":
			peak = &w.seen.PeakMB
		case "RssAnon":
			peak = &w.seen.PeakAnonMB
		case "RssFile":
			peak = &w.seen.PeakFileMB
		default:
			continue
		}
		kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
		if err != nil {
			return fmt.Errorf("cannot read %q of process %d: %v", key, w.pid, err)
		}
		*peak = max(*peak, kb*kilobytesUnit/bytesPerMB)
	}
	return nil
}

// cpuSeconds is what a process has used, all its threads and the kernel for it.
func cpuSeconds(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	var ticks float64
	for _, i := range []int{statUser, statSystem} {
		n, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return 0, fmt.Errorf("cannot read the times of process %d: %v", pid, err)
		}
		ticks += n
	}
	return ticks / clockTicks, nil
}
