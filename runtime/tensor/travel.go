package tensor

// MaxTravel is how many bytes the values of one tensor may take to be sent: a
// tensor is one message, OpenFL's aggregators and collaborators take messages of
// at most 1 GiB, and the rest is for its name, tags and shape. (Protobuf's own
// limit is 2 GiB.)
const MaxTravel = 1<<30 - 64<<10

// CheckTravel refuses a tensor that is too large to be sent as float32. Errors
// wrap ErrInvalid.
func CheckTravel(info Info) error {
	n := info.Elements()
	if n < 0 || n > MaxTravel/4 {
		return invalidf("tensor %q with shape %v is too large to be sent: one message holds at most %d float32 values; divide the tensor", info.Name, info.Shape, MaxTravel/4)
	}
	return nil
}
