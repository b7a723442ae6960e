"""What a caller asks for: from the bytes of a request to one immutable Call, checked and measured."""
