"""Private headers of Siemens scanners: ``csa`` reads and writes CSA headers, ``protocol`` the text of a protocol."""
