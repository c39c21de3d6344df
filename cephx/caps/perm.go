package caps

// Perm is a set of permissions.
type Perm uint8

const (
	Read  Perm = 1
	Write Perm = 2
	Exec  Perm = 4    // mon and mgr
	Any   Perm = 0xff // *: everything, and more than all letters together

	// Of OSDs: calls of object classes. x is both.
	ClassRead  Perm = 4
	ClassWrite Perm = 8
	ClassExec       = ClassRead | ClassWrite
)

// ParsePerm reads the letters of a command description, such as rw.
func ParsePerm(s string) (p Perm) {
	for _, c := range s {
		switch c {
		case 'r':
			p |= Read
		case 'w':
			p |= Write
		case 'x':
			p |= Exec
		}
	}
	return p
}

func (p Perm) has(need Perm) bool { return p&need == need }
