package aggregation

import "slices"

// blockBytes bounds the blocks that are held at once, all collaborators
// together, by rules that need all values of an element.
const blockBytes = 4 << 20

// columns calls value for each element with what all collaborators say of it,
// in name order, and emits what it returns. value may reorder the column.
func columns(t Tensor, emit Emit, value func(column []float64) float64) error {
	if t.Elements == 0 {
		return nil
	}
	k := len(t.Updates)
	size := min(t.Elements, BlockElements, max(256, blockBytes/4/k))
	block, next, column := make([]float32, k*size), make([]float64, size), make([]float64, k)
	for off := 0; off < t.Elements; off += size {
		n := min(size, t.Elements-off)
		if err := readAll(t.Updates, block, n, off); err != nil {
			return err
		}
		for j := range n {
			for i := range column {
				column[i] = float64(block[i*n+j])
			}
			next[j] = value(column)
		}
		if err := emit(next[:n], nil); err != nil {
			return err
		}
	}
	return nil
}

// readAll reads n elements of every update, one after the other in block.
func readAll(updates []Update, block []float32, n, off int) error {
	for i, u := range updates {
		if err := u.read(block[i*n:(i+1)*n], off); err != nil {
			return err
		}
	}
	return nil
}

// sortColumn sorts a column. Most federations are small, and for a few values
// insertion takes a third of the time of a sort that is made for many.
func sortColumn(c []float64) {
	if len(c) > 24 {
		slices.Sort(c)
		return
	}
	for i := 1; i < len(c); i++ {
		v := c[i]
		j := i
		for ; j > 0 && c[j-1] > v; j-- {
			c[j] = c[j-1]
		}
		c[j] = v
	}
}
