package identity

import (
	"bytes"
	"encoding/pem"
)

// ParsePEM splits data into 1 to most PEM blocks, strictly: the standard
// library skips whatever it cannot read, so that a damaged block would vanish
// without a word. Here every line must belong to a block, be blank, or be a
// comment that begins with #; blocks have no headers and are not empty.
func ParsePEM(data []byte, most int) ([]*pem.Block, error) {
	var blocks []*pem.Block
	data = skipComments(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")))
	for len(data) > 0 {
		if !bytes.HasPrefix(data, []byte("-----BEGIN ")) {
			return nil, Invalidf("not PEM: the line %q is in no block", firstLine(data))
		}
		if len(blocks) == most {
			return nil, Invalidf("more than %d PEM block(s)", most)
		}
		// The block must be the very next thing: hand the decoder only this one.
		end := bytes.Index(data, []byte("\n-----END "))
		if end < 0 {
			return nil, Invalidf("PEM block %d has no end", len(blocks)+1)
		}
		stop := len(data)
		if nl := bytes.IndexByte(data[end+1:], '\n'); nl >= 0 {
			stop = end + 1 + nl + 1
		}
		b, rest := pem.Decode(data[:stop])
		// The decoder passes over a first line that it dislikes and takes the next.
		if b == nil || len(bytes.TrimSpace(rest)) > 0 || bytes.Count(data[:stop], []byte("-----BEGIN ")) != 1 {
			return nil, Invalidf("PEM block %d is damaged", len(blocks)+1)
		}
		if len(b.Headers) > 0 {
			return nil, Invalidf("PEM block %d (%s) has headers; none are allowed", len(blocks)+1, b.Type)
		}
		if len(b.Bytes) == 0 {
			return nil, Invalidf("PEM block %d (%s) is empty", len(blocks)+1, b.Type)
		}
		blocks = append(blocks, b)
		data = skipComments(data[stop:])
	}
	if len(blocks) == 0 {
		return nil, Invalidf("no PEM block")
	}
	return blocks, nil
}

func skipComments(data []byte) []byte {
	for len(data) > 0 {
		line, rest, _ := bytes.Cut(data, []byte("\n"))
		if l := bytes.TrimSpace(line); len(l) > 0 && l[0] != '#' {
			return data
		}
		data = rest
	}
	return nil
}

func firstLine(data []byte) []byte {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return line[:min(len(line), 40)]
}
