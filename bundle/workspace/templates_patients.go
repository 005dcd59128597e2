package workspace

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"path"
)

// wards are the kinds of site of the template histogram, in the order in which
// collaborators get them. Most patients of a ward are of its ages, from young to
// old; one in visitors is of any age, so that a site has bins with a handful of
// rows.
var wards = []struct{ young, old, visitors int }{
	{0, 17, 40},   // a children's hospital
	{18, 79, 25},  // a general hospital
	{65, 100, 40}, // a geriatric clinic
}

const (
	fewestPatients = 150
	mostPatients   = 250
	longestStay    = 21 // days
)

// patientsData invents the patients of each site: a row with a number, an age in
// years and a stay in days. Everything is drawn from the SHA-256 of the site's and
// the row's number, so that the same sites get the same patients.
func patientsData(collaborators []string) ([]File, error) {
	var files []File
	for site, name := range collaborators {
		d := draw{site: site}
		ward := wards[site%len(wards)]
		var b bytes.Buffer
		b.WriteString("patient,age,stay\n")
		for row := range d.from(fewestPatients, mostPatients) {
			young, old := ward.young, ward.old
			if d.from(1, ward.visitors) == 1 {
				young, old = 0, 100
			}
			// The mean of two draws: more in the middle than at the ends.
			age := (d.from(young, old-1) + d.from(young, old-1)) / 2
			fmt.Fprintf(&b, "%d,%d,%d\n", row+1, age, d.from(1, longestStay))
		}
		files = append(files, File{Path: path.Join("data", name, "patients.csv"), Data: b.Bytes()})
	}
	return files, nil
}

// draw is a source of numbers for one site.
type draw struct{ site, count int }

// from draws a number from low to high, both included.
func (d *draw) from(low, high int) int {
	d.count++
	sum := sha256.Sum256(fmt.Appendf(nil, "site %d draw %d", d.site, d.count))
	return low + int(binary.BigEndian.Uint32(sum[:])%uint32(high-low+1))
}
