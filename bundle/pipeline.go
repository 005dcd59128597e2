package bundle

import (
	"context"
	"runtime"
	"sync"
)

// workerCount bounds n: one worker holds two buffers of a frame, so that more
// than eight would cost memory without being faster than a disk.
func workerCount(n int) int {
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	return min(n, 8)
}

// inOrder does n jobs in three stages. prepare and finish run one job at a time
// in order; work runs on several goroutines in between. Only workers+1 slots
// exist, which bounds the memory. The error returned is the one of the first
// job that has one, whatever the timing; nothing runs any more on return.
func inOrder[S any](ctx context.Context, workers, n int, prepare, work, finish func(i int, slot *S) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type job struct {
		i    int
		slot *S
		done chan error
	}
	free := make(chan *S, workers+1)
	for range cap(free) {
		free <- new(S)
	}
	jobs, order := make(chan job, cap(free)), make(chan job, cap(free))

	var running sync.WaitGroup
	running.Go(func() {
		defer close(order)
		defer close(jobs)
		for i := range n {
			j := job{i: i, done: make(chan error, 1)}
			select {
			case j.slot = <-free:
			case <-ctx.Done():
				return
			}
			if err := prepare(i, j.slot); err != nil {
				j.done <- err
				order <- j
				return
			}
			order <- j
			jobs <- j
		}
	})
	for range workers {
		running.Go(func() {
			for j := range jobs {
				if err := ctx.Err(); err != nil {
					j.done <- err
					continue
				}
				j.done <- work(j.i, j.slot)
			}
		})
	}

	var first error
	finished := 0
	for j := range order {
		if first != nil {
			continue
		}
		if first = <-j.done; first == nil {
			first = finish(j.i, j.slot)
		}
		if first != nil {
			cancel()
			continue
		}
		finished++
		free <- j.slot
	}
	running.Wait()
	if first == nil && finished < n {
		first = context.Cause(ctx)
	}
	return first
}
