package content

import (
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"fmt"
	"strings"
)

const maxNative = 1 << 30 // bytes of machine code whose tables are read

// watched are functions that machine code imports to do what a task has no
// business doing.
var watched = map[string]string{
	"system": "starts programs", "popen": "starts programs", "execve": "starts programs", "execv": "starts programs", "execvp": "starts programs", "posix_spawn": "starts programs", "fork": "starts programs",
	"socket": "talks to networks", "connect": "talks to networks", "getaddrinfo": "talks to networks", "sendto": "talks to networks", "curl_easy_perform": "talks to networks", "SSL_connect": "talks to networks",
	"dlopen": "loads machine code", "ptrace": "reaches into processes", "process_vm_readv": "reaches into processes", "mprotect": "makes memory executable",
	"CreateProcessA": "starts programs", "CreateProcessW": "starts programs", "WinExec": "starts programs", "ShellExecuteA": "starts programs", "ShellExecuteW": "starts programs",
	"VirtualProtect": "makes memory executable", "WriteProcessMemory": "reaches into processes", "LoadLibraryA": "loads machine code", "InternetOpenA": "talks to networks", "WSAStartup": "talks to networks",
}

func (s *scanner) nativeFacts(src source, format string, libraries, symbols []string) {
	s.detail("%s", format)
	for _, l := range libraries[:min(len(libraries), 30)] {
		s.detail("needs %s", l)
	}
	var does []string
	for _, sym := range symbols {
		name := strings.TrimPrefix(sym, "_")
		if what, ok := watched[name]; ok && len(does) < 12 {
			does = append(does, name+" ("+what+")")
		}
	}
	detail := format
	if len(does) > 0 {
		detail += ", imports " + strings.Join(does, ", ")
	}
	s.report("native-code", src, detail)
}

func (s *scanner) elf(src source, _ *File, _ []byte) string {
	if src.size > maxNative {
		s.report("native-code", src, "ELF")
		return "machine code larger than is read"
	}
	f, err := elf.NewFile(src.reader())
	if err != nil {
		s.report("native-code", src, "ELF, damaged")
		return fmt.Sprintf("ELF that cannot be read: %.100v", err)
	}
	libraries, _ := f.ImportedLibraries()
	var symbols []string
	if list, err := f.ImportedSymbols(); err == nil {
		for _, sym := range list {
			symbols = append(symbols, sym.Name)
		}
	}
	s.nativeFacts(src, fmt.Sprintf("ELF %s %s", strings.TrimPrefix(f.Machine.String(), "EM_"), strings.TrimPrefix(f.Type.String(), "ET_")), libraries, symbols)
	end := elfTable(src, f)
	for _, p := range f.Progs {
		end = max(end, sum(p.Off, p.Filesz))
	}
	for _, sec := range f.Sections {
		if sec.Type != elf.SHT_NOBITS {
			end = max(end, sum(sec.Offset, sec.FileSize))
		}
	}
	s.tail(src, end, "ELF")
	return ""
}

// sum adds an offset and a size from a file, which may be made to overflow.
func sum(a, b uint64) int64 {
	if a > 1<<40 || b > 1<<40 {
		return 1 << 41
	}
	return int64(a + b)
}

// elfTable is where the section headers end.
func elfTable(src source, f *elf.File) int64 {
	h := make([]byte, 64)
	if _, err := src.r.ReadAt(h, 0); err != nil && src.size < 64 {
		return 0
	}
	if f.Class == elf.ELFCLASS64 {
		return sum(f.ByteOrder.Uint64(h[40:]), uint64(f.ByteOrder.Uint16(h[58:]))*uint64(f.ByteOrder.Uint16(h[60:])))
	}
	return sum(uint64(f.ByteOrder.Uint32(h[32:])), uint64(f.ByteOrder.Uint16(h[46:]))*uint64(f.ByteOrder.Uint16(h[48:])))
}

// tail reports what stands behind the end of a format.
func (s *scanner) tail(src source, end int64, format string) {
	if end <= 0 || end >= src.size {
		return
	}
	rest := make([]byte, min(src.size-end, headSize))
	n, _ := src.r.ReadAt(rest, end)
	zero := true
	for _, b := range rest[:n] {
		zero = zero && (b == 0 || b == '\n')
	}
	if zero && src.size-end <= headSize { // padding
		return
	}
	s.report("appended-data", src, fmt.Sprintf("%d bytes behind the end of the %s", src.size-end, format))
	if inner := (source{path: src.path, size: src.size - end, r: src.reader(), depth: src.depth + 1}); inner.depth <= maxDepth && n > 8 {
		if t := sniff(inner, rest[:n]); t != "binary" && t != "text" {
			s.detail("behind its end: %s", t)
		}
	}
}

func (s *scanner) pe(src source, _ *File, _ []byte) string {
	f, err := pe.NewFile(src.reader())
	if err != nil || src.size > maxNative {
		s.report("native-code", src, "a Windows or DOS program")
		return fmt.Sprintf("a program that cannot be read: %.100v", err)
	}
	symbols, _ := f.ImportedSymbols()
	var names, libraries []string
	seen := map[string]bool{}
	for _, sym := range symbols {
		name, lib, _ := strings.Cut(sym, ":")
		names = append(names, name)
		if !seen[lib] {
			seen[lib] = true
			libraries = append(libraries, lib)
		}
	}
	s.nativeFacts(src, fmt.Sprintf("PE machine %#x", f.Machine), libraries, names)
	return ""
}

func (s *scanner) macho(src source, _ *File, head []byte) string {
	if string(head[:4]) == "\xca\xfe\xba\xbe" {
		fat, err := macho.NewFatFile(src.reader())
		if err != nil {
			s.report("native-code", src, "Mach-O, damaged")
			return fmt.Sprintf("Mach-O that cannot be read: %.100v", err)
		}
		for _, arch := range fat.Arches {
			s.machoFacts(src, arch.File)
		}
		return ""
	}
	f, err := macho.NewFile(src.reader())
	if err != nil {
		s.report("native-code", src, "Mach-O, damaged")
		return fmt.Sprintf("Mach-O that cannot be read: %.100v", err)
	}
	s.machoFacts(src, f)
	return ""
}

func (s *scanner) machoFacts(src source, f *macho.File) {
	libraries, _ := f.ImportedLibraries()
	symbols, _ := f.ImportedSymbols()
	s.nativeFacts(src, "Mach-O "+f.Cpu.String(), libraries, symbols)
}

func (s *scanner) opaqueCode(src source, f *File, _ []byte) string {
	s.report("native-code", src, f.Type)
	f.Analysed = false
	return "compiled code of a kind that is not read: " + f.Type
}

func (s *scanner) pyc(src source, f *File, _ []byte) string {
	s.report("bytecode", src, "")
	f.Analysed = false
	return "compiled Python is not decompiled"
}
