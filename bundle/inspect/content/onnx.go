package content

import (
	"fmt"
	"io"
	"path"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

const maxONNX = 256 << 20 // bytes of a model whose graph is walked

// Field numbers of onnx.proto.
const (
	onnxIR, onnxProducer, onnxGraph, onnxOpset, onnxFunctions = 1, 2, 7, 8, 25
	graphNode, graphInit                                      = 1, 5
	nodeAttr, nodeOp, nodeDomain                              = 5, 4, 7
	tensorExternal                                            = 13
)

// onnxLike tells a model from other binary data by its first fields.
func onnxLike(head []byte) bool {
	if len(head) < 8 || head[0] != 0x08 || head[1] == 0 || head[1] > 32 || head[2] != 0x12 {
		return false
	}
	n := int(head[3])
	return n > 0 && n < 64 && len(head) > 4+n && looksText(head[4:4+n])
}

// fields calls do for each field of a message: bytes of those that have them.
func fields(data []byte, do func(num protowire.Number, value []byte) bool) bool {
	for len(data) > 0 {
		num, t, n := protowire.ConsumeTag(data)
		if n < 0 {
			return false
		}
		data = data[n:]
		var value []byte
		if t == protowire.BytesType {
			value, n = protowire.ConsumeBytes(data)
		} else {
			n = protowire.ConsumeFieldValue(num, t, data)
		}
		if n < 0 {
			return false
		}
		if !do(num, value) {
			return false
		}
		data = data[n:]
	}
	return true
}

type onnxWalk struct {
	domains  map[string]bool // of operators beyond ONNX's own
	external []string
	nodes    int
	broken   bool
}

func (w *onnxWalk) node(data []byte, depth int) {
	op, domain := "", ""
	w.nodes++
	w.broken = !fields(data, func(num protowire.Number, value []byte) bool {
		switch num {
		case nodeOp:
			op = string(value)
		case nodeDomain:
			domain = string(value)
		case nodeAttr:
			return fields(value, func(num protowire.Number, v []byte) bool {
				switch num {
				case 5: // a tensor
					w.tensor(v)
				case 6: // a graph, of If and Loop
					w.graph(v, depth+1)
				}
				return true
			})
		}
		return true
	}) || w.broken
	if domain != "" && domain != "ai.onnx" && domain != "ai.onnx.ml" && len(w.domains) < 100 {
		w.domains[domain+"."+op] = true
	}
}

func (w *onnxWalk) tensor(data []byte) {
	w.broken = !fields(data, func(num protowire.Number, value []byte) bool {
		if num != tensorExternal {
			return true
		}
		key, location := "", ""
		ok := fields(value, func(num protowire.Number, v []byte) bool {
			switch num {
			case 1:
				key = string(v)
			case 2:
				location = string(v)
			}
			return true
		})
		if key == "location" && len(w.external) < 100 {
			w.external = append(w.external, location)
		}
		return ok
	}) || w.broken
}

func (w *onnxWalk) graph(data []byte, depth int) {
	if depth > 16 {
		w.broken = true
		return
	}
	w.broken = !fields(data, func(num protowire.Number, value []byte) bool {
		switch num {
		case graphNode:
			w.node(value, depth)
		case graphInit:
			w.tensor(value)
		}
		return true
	}) || w.broken
}

func (s *scanner) onnx(src source, _ *File, _ []byte) string {
	if src.size > maxONNX {
		return "an ONNX model larger than is read"
	}
	data, err := io.ReadAll(src.reader())
	if err != nil {
		return "it cannot be read to its end"
	}
	w := &onnxWalk{domains: map[string]bool{}}
	producer, graphs := "", 0
	ok := fields(data, func(num protowire.Number, value []byte) bool {
		switch num {
		case onnxProducer:
			producer = string(value)
		case onnxGraph:
			graphs++
			w.graph(value, 0)
		case onnxFunctions:
			s.detail("defines functions of its own")
		}
		return true
	})
	if !ok || w.broken || graphs != 1 {
		s.report("model-broken", src, "ONNX that makes no sense from some point on")
	}
	s.detail("ONNX by %q, %d nodes", producer, w.nodes)
	for op := range w.domains {
		s.report("model-operators", src, "operator "+op)
	}
	for _, location := range w.external {
		if path.IsAbs(location) || strings.Contains(location, "..") {
			s.report("model-code", src, fmt.Sprintf("ONNX reads its numbers from %q, outside the model's folder", location))
		} else {
			s.detail("reads numbers from %q", location)
		}
	}
	return ""
}
