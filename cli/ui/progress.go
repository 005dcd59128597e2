package ui

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// Progress shows how far long work has come: a bar on a terminal once the work
// has taken a second, a plain line every ten seconds elsewhere. It may be used
// by several goroutines.
type Progress struct {
	k     *Console
	label string
	total int64
	now   func() time.Time

	mu      sync.Mutex
	done    int64
	start   time.Time
	shown   time.Time
	visible bool
}

// Progress starts a progress display for total units (bytes, files) of work.
func (k *Console) Progress(label string, total int64) *Progress {
	return k.progress(label, total, time.Now)
}

func (k *Console) progress(label string, total int64, now func() time.Time) *Progress {
	t := now()
	return &Progress{k: k, label: label, total: total, now: now, start: t, shown: t}
}

// Add records n more units of work.
func (p *Progress) Add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	if p.k.Quiet {
		return
	}
	now := p.now()
	if isTerminal(p.k.Err) {
		if now.Sub(p.start) < time.Second || now.Sub(p.shown) < 100*time.Millisecond {
			return
		}
		p.shown, p.visible = now, true
		_, _ = fmt.Fprintf(p.k.Err, "\r%s", p.bar())
		return
	}
	if now.Sub(p.shown) >= 10*time.Second {
		p.shown = now
		p.k.Infof("%s: %s", p.label, p.percent())
	}
}

// Close removes the bar.
func (p *Progress) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.visible {
		_, _ = fmt.Fprintf(p.k.Err, "\r%s\r", strings.Repeat(" ", len(p.bar())))
		p.visible = false
	}
}

func (p *Progress) share() float64 {
	if p.total <= 0 {
		return 0
	}
	return min(1, float64(p.done)/float64(p.total))
}

func (p *Progress) percent() string { return fmt.Sprintf("%3.0f %%", 100*p.share()) }

func (p *Progress) bar() string {
	const width = 30
	n := int(p.share() * width)
	return fmt.Sprintf("%s [%s%s] %s", p.label, strings.Repeat("#", n), strings.Repeat(" ", width-n), p.percent())
}
